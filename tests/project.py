"""A project folder of its own for a test, and the command line run in it as a user does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

STUDY = "dare-source-selection"
ADAPTERS = "adapter-translation"

TINY = {
    "locales": "sq-AL,de-DE,it-IT,tr-TR",
    "targets": "sq-AL",
    "count": "2",
    "draws": "1",
    "more_methods": "model_stock,regmean",
    "options": "{}",
    "examples": "8",
    "phrasebook.train": "8",
    "phrasebook.dev": "4",
    "phrasebook.test": "4",
    "models.architecture.hidden": "16",
    "models.architecture.vocabulary": "400",
    "models.pretraining.steps": "5",
    "models.finetuning.epochs": "1",
}
"""Changes of the mini profile that make a build take seconds; the models learn nothing."""

TINY_ADAPTERS = {
    "models.x.hidden": "16",
    "models.x.layers": "2",
    "models.x.heads": "2",
    "models.x.kv_heads": "1",
    "models.x.intermediate": "16",
    "models.y.hidden": "16",
    "models.y.layers": "1",
    "models.y.heads": "2",
    "models.y.kv_heads": "1",
    "models.y.intermediate": "16",
    "models.teaching": "{steps: 5, batch: 16, repeats: 0}",
    "tasks.train": "8",
    "tasks.evaluation": "8",
    "lora.rank": "2",
    "lora.alpha": "4",
    "lora.batch": "4",
    "lora.steps": "2",
    "compared": "{mean: [factor], global_ridge: [factor], pertensor_ridge: [factor, delta], "
    "topk_global_ridge: [factor], topk_pertensor_ridge: [factor], pertensor_mlp: [factor], "
    "cross_lora: [delta], random_norm: [delta]}",
    "everywhere": "{mean: [factor], pertensor_ridge: [delta], permuted: [delta]}",
    "policies": "[shared]",
    "runs": "1",
    "lambdas": "[0.1]",
    "neighbours": "[2]",
    "anchor_counts": "[3, 6]",
    "draws": "1",
}
"""The same for the study of adapters."""


def changes(tiny: dict[str, str]) -> list[str]:
    """Write changes of a config as a command takes them."""
    return [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]


CHANGES = changes(TINY)
CHANGES_OF = {STUDY: CHANGES, ADAPTERS: changes(TINY_ADAPTERS)}

LOOKING = ("accept", "list", "run", "show", "verify", "why")
"""Commands that are told by an option in which study to look."""


def in_study(study: str, arguments: Sequence[str]) -> list[str]:
    """Narrow a command to a study in its tiny size: what one study's changes name, another one need not know."""
    named = study in arguments or "--all" in arguments
    where = [] if named else ["--study", study] if arguments[0] in LOOKING else [study]
    return [*arguments, *where, *CHANGES_OF[study]]


def hear_interrupts() -> None:
    """Let a child process hear SIGINT, which those started in the background of a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Project:
    """A folder that holds what the repository's own root holds for a build, and nothing generated."""

    root: Path

    def run(self, *arguments: str, tiny: bool | str = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m compute` here; *tiny* in that study, or in STUDY where it is True."""
        study = STUDY if tiny is True else tiny
        return self._run(["-m", "compute", *(in_study(study, arguments) if study else arguments)], environment)

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script here, in an interpreter of its own."""
        return self._run(["-c", script], {})

    def _run(self, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return every file here with its modification time and bytes."""
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def make(root: Path) -> Project:
    """Lay out a project in *root*."""
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    shutil.copy(REPOSITORY / "mkdocs.yml", root / "mkdocs.yml")
    (root / "docs").mkdir()
    for page in (REPOSITORY / "docs").glob("*.md"):
        shutil.copy(page, root / "docs" / page.name)
    shutil.copytree(REPOSITORY / "docs" / "guide", root / "docs" / "guide")
    return Project(root)
