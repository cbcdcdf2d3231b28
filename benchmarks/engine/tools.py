"""The tools: how a user of each lays the project out, which command they type, where they read the total."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from graph import Files, Graph

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
GENERATED = ("cache", "site", ".venv", ".git", ".*_cache", "studies", "reference", "benchmarks", "tests")


@dataclass(frozen=True)
class Tool:
    """One tool under measurement."""

    name: str
    distribution: str
    command: tuple[str, ...]
    """What a user types; the first word is a program of the tool's environment."""
    cells: str
    """The file of the cell function."""
    workers: str
    total: Callable[[str, Path], int]
    config: str = "values.json"
    helper: str = "helper.py"
    lay: Callable[[Path, Graph, Path], None] = lambda root, graph, programs: None
    """What else a project needs: its folder, the graph, the folder of the tool's programs."""

    @property
    def is_recount(self) -> bool:
        return self.name == "Recount"

    @property
    def source(self) -> Path:
        """The folder with the tool's files of the project, and in `setup.md` how it was set up and why so."""
        return HERE / "projects" / self.distribution.removeprefix("sf-")

    @property
    def note(self) -> str:
        return " ".join((self.source / "setup.md").read_text(encoding="utf-8").split())

    def files(self, root: Path) -> Files:
        return Files(root, self.config, self.cells, self.helper)

    def project(self, root: Path, graph: Graph, programs: Path) -> Files:
        """Lay the project out in *root*."""
        if self.is_recount:
            _copy_of_recount(root)
        folder = root / Path(self.helper).parent
        shutil.copytree(self.source, folder if self.is_recount else root, dirs_exist_ok=True)
        for common in (HERE / "projects" / "common").glob("*.py"):
            shutil.copy(common, folder / common.name)
        files = self.files(root)
        files.lay(graph)
        self.lay(root, graph, programs)
        return files


def _copy_of_recount(root: Path) -> None:
    """Copy the project as it stands, with its studies' code but nothing generated."""
    ignore = shutil.ignore_patterns(*GENERATED)
    shutil.copytree(REPOSITORY, root, ignore=ignore)
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "compute" / "studies", root / "compute" / "studies", ignore=kept)


def compiled(root: Path, graph: Graph, programs: Path) -> None:
    """Compile the copy, as an installation would be."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root / "compute")], check=True)


def dvc_project(root: Path, graph: Graph, programs: Path) -> None:
    """Write dvc.yaml and the project's settings; a stage a cell by foreach, whose value is part of its command."""
    stages: dict[str, Any] = {
        "measured": {
            "foreach": "${values}",
            "do": {
                "cmd": "python measured.py ${key} ${item}",
                "deps": ["measured.py"],
                "outs": ["out/${key}.json"],
            },
        }
    }
    for group, names in {**graph.groups, "total": list(graph.groups)}.items():
        stages[group] = {
            "cmd": f"python summed.py {group} {' '.join(names)}",
            "deps": ["summed.py", *(f"out/{name}.json" for name in names)],
            "outs": [f"out/{group}.json"],
        }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False), encoding="utf-8")
    settings = (("config", f"core.{name}", "false") for name in ("analytics", "check_update"))
    for words in (("init", "--no-scm", "-q"), *settings):
        subprocess.run([programs / "dvc", *words], cwd=root, check=True, capture_output=True)


def from_page(output: str, root: Path) -> int:
    """Read the total where a reader of the site reads it: in the table's download."""
    path = root / "docs" / "studies" / "bench" / "data" / "totals.csv"
    with path.open(encoding="utf-8") as file:
        return int(float(list(csv.reader(file))[1][1]))


def from_output(output: str, root: Path) -> int:
    """Read the total from the last line that was printed."""
    return int(output.strip().splitlines()[-1])


def from_file(output: str, root: Path) -> int:
    """Read the total from its file."""
    path = next(path for path in root.glob("out/**/total.json"))
    return int(json.loads(path.read_text(encoding="utf-8")))


BENCH = "compute/studies/bench"

TOOLS = (
    Tool(
        name="Recount",
        distribution="recount",
        command=("python", "-m", "compute", "build", "bench"),
        cells=f"{BENCH}/cells.py",
        helper=f"{BENCH}/helper.py",
        config=f"{BENCH}/mini.yaml",
        workers="a process a core",
        total=from_page,
        lay=compiled,
    ),
    Tool(
        name="doit",
        distribution="doit",
        command=("doit",),
        cells="dodo.py",
        workers="its own process",
        total=from_file,
    ),
    Tool(
        name="Snakemake",
        distribution="snakemake",
        command=("snakemake", "--cores", "2"),
        cells="scripts/measured.py",
        workers="a process a cell, two at a time",
        total=from_file,
    ),
    Tool(
        name="DVC",
        distribution="dvc",
        command=("dvc", "repro"),
        cells="measured.py",
        config="params.yaml",
        workers="a process a cell, one at a time",
        total=from_file,
        lay=dvc_project,
    ),
    Tool(
        name="Hamilton",
        distribution="sf-hamilton",
        command=("python", "main.py"),
        cells="flow.py",
        workers="its own process",
        total=from_output,
    ),
    Tool(
        name="redun",
        distribution="redun",
        command=("redun", "run", "workflow.py", "main"),
        cells="workflow.py",
        workers="threads",
        total=from_output,
    ),
    Tool(
        name="joblib.Memory",
        distribution="joblib",
        command=("python", "main.py"),
        cells="steps.py",
        workers="its own process",
        total=from_output,
    ),
)
