"""What the documentation says is so: guides are followed to the letter, commands and files exist."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from project import REPOSITORY, Project, make

from compute import plugins
from compute.adapters import method as translation
from compute.cli import main
from compute.merging.method import PACKAGE, method_info, method_options
from compute.report import reference

GUIDE = REPOSITORY / "docs" / "guide"
ENGINE = REPOSITORY / "docs" / "engine.md"
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "docs" / "index.md", ENGINE, *sorted(GUIDE.glob("*.md"))]
COMMANDS = main.list_commands(click.Context(main))


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a document in one language."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Project:
    """A project with a copy of the package, to which a reader adds files."""
    project = make(tmp_path / "project")
    shutil.copytree(REPOSITORY / "compute", project.root / "compute")
    return project


def test_a_merge_method_is_added_as_the_guide_says(package: Project) -> None:
    for name, code in zip(("median", "equal_lengths"), blocks(GUIDE / "add-a-merge-method.md", "python"), strict=True):
        (package.root / f"compute/merging/methods/{name}.py").write_text(code, encoding="utf-8")
    here = {"PYTHONPATH": str(package.root)}
    listed = package.run("list", "methods", **here).stdout
    assert "median" in listed
    assert "equal_lengths" in listed
    change = ("build", "dare-source-selection", "--dry-run", "--set", "methods=ties,median,average")
    planned = package.run(*change, **here)
    assert planned.returncode == 0, planned.stderr
    assert "evaluation/median/" in planned.stdout


def test_the_methods_of_the_guide_merge(package: Project) -> None:
    for name, code in zip(("median", "equal_lengths"), blocks(GUIDE / "add-a-merge-method.md", "python"), strict=True):
        (package.root / f"compute/merging/methods/{name}.py").write_text(code, encoding="utf-8")
    script = """
import sys; sys.path.insert(0, ".")
import torch
from compute.merging.merge import merge
from compute.merging.recipe import Recipe

base = {"w": torch.zeros(2, 2)}
rows = [[[3.0, 0.0], [4.0, 0.0]], [[0.0, 6.0], [8.0, 0.0]], [[0.0, 0.0], [0.0, 15.0]]]
experts = {str(number): {"w": torch.tensor(row)} for number, row in enumerate(rows)}
for method in ("median", "equal_lengths"):
    for device in ("cpu", "torch:cpu"):
        print(merge(base, experts, Recipe(method, (1 / 3,) * 3), device=device)["w"].tolist())
"""
    done = package.python(script)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found[0] == found[1] == [[0.0, 0.0], [4.0, 0.0]]
    for first, second in found[2:]:
        assert [*first, *second] == pytest.approx([2.0, 2.0, 16 / 3, 10 / 3])


def test_every_merge_method_is_in_the_reference_with_what_it_demands() -> None:
    from markdown import markdown

    page = reference.pages(REPOSITORY)["merge-methods.md"]
    rows = {line.split("`")[1]: line.split(" | ") for line in page.splitlines() if line.startswith("| [`")}
    assert list(rows) == plugins.names(PACKAGE)
    for name, (_, _, scope, base, experts, beside, paper) in rows.items():
        info, options = method_info(name), method_options(name)
        section = page.split(f"\n## `{name}`")[1].partition("\n## ")[0]
        assert scope == ("model or tensor" if "trim_scope" in options else info.scope)
        assert base == ("yes" if info.needs_base else "no")
        assert experts.startswith(str(info.sources[0]))
        assert bool(beside) == bool(info.data or info.extras)
        assert info.paper in paper
        assert all(f"    {option}: " in section for option in options)
        steps = re.findall(r"^ *(\d)\. ", inspect.getdoc(plugins.load(PACKAGE, name)) or "", re.MULTILINE)
        assert markdown(section).count("<li>") == len(steps), f"a list of {name} is not rendered as one"


def test_translation_methods_are_added_as_the_guide_says(package: Project) -> None:
    guide = GUIDE / "add-a-translation-method.md"
    for name, code in zip(("soft_nearest", "upside_down"), blocks(guide, "python"), strict=True):
        (package.root / f"compute/adapters/methods/{name}.py").write_text(code, encoding="utf-8")
    listed = package.run("list", "methods", PYTHONPATH=str(package.root)).stdout
    assert "soft_nearest" in listed
    assert "upside_down" in listed
    script = """
import sys; sys.path.insert(0, ".")
import numpy as np
from compute.adapters.adapter import Adapter, Factors
from compute.adapters.material import Material
from compute.adapters.spaces import grams, problem
from compute.adapters.translate import translate

def adapter(*numbers):
    rows = np.array([numbers], np.float32)
    return Adapter({f"model.layers.{n}.q": Factors(rows * (n + 1), np.ones((2, 1), np.float32), 1.0) for n in range(2)})

x = {"a": adapter(1, 0, 0), "b": adapter(0, 1, 0), "new": adapter(2, -1, 0)}
y = {"a": adapter(3, 0), "b": adapter(0, 3)}
posed = problem(grams(x, "factor"), grams(y, "factor"), "new", ["a", "b"], dict.fromkeys(x, ""))
for method in ("soft_nearest", "upside_down"):
    made = translate(method, {}, posed, Material(x["new"], y), "factor")
    print([one.a[0].tolist() for one in made.modules.values()])
"""
    done = package.python(script)
    assert done.returncode == 0, done.stderr
    weighed, turned = (json.loads(line) for line in done.stdout.splitlines())
    assert weighed == [pytest.approx([3, 0], abs=1e-6), pytest.approx([6, 0], abs=1e-6)]
    assert turned == [[6, 0], [3, 0]]


def test_every_translation_method_is_in_the_reference_with_what_it_demands() -> None:
    from markdown import markdown

    page = reference.pages(REPOSITORY)["translation-methods.md"]
    rows = {line.split("`")[1]: line.split(" | ") for line in page.splitlines() if line.startswith("| [`")}
    assert list(rows) == plugins.names(translation.PACKAGE)
    for name, (_, _, role, gives, beside) in rows.items():
        info = translation.method_info(name)
        section = page.split(f"\n## `{name}`")[1].partition("\n## ")[0]
        assert role == info.role
        assert gives.endswith(info.gives) == (info.gives == "adapter")
        assert ("own adapter" in beside, "base models" in beside) == (info.needs_truth, info.needs_bases)
        assert all(f"    {option}: " in section for option in translation.method_options(name))
        emphasised = re.findall("<em>(.*?)</em>", markdown(section), re.DOTALL)
        assert all(re.fullmatch(r"[\w-]+", text) for text in emphasised), f"a star of {name} is taken for emphasis"


@pytest.mark.slow
def test_a_study_is_added_as_the_guide_says(package: Project) -> None:
    folder = package.root / "compute/studies/my_study"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "study.py").write_text(blocks(GUIDE / "add-a-study.md", "python")[0], encoding="utf-8")
    (folder / "report.md.j2").write_text(blocks(GUIDE / "add-a-study.md", "jinja")[0], encoding="utf-8")
    (folder / "mini.yaml").write_text(blocks(GUIDE / "add-a-study.md", "yaml")[0], encoding="utf-8")
    done = package.run("build", "my-study", PYTHONPATH=str(package.root))
    assert done.returncode == 0, done.stderr
    page = (package.root / "docs/studies/my-study/index.md").read_text(encoding="utf-8")
    assert "Every expert is right more often than not." in page
    assert '<figure class="rc-table"' in page


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_in_a_document_exist(document: Path) -> None:
    named = set(re.findall(r"python -m compute ([a-z]+)", document.read_text(encoding="utf-8")))
    assert named <= set(COMMANDS), f"{document.name} names commands that do not exist"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_in_the_readme(command: str) -> None:
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0
    found = main.get_command(click.Context(main), command)
    assert found is not None
    assert found.help
    assert f"`{command}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_guarantee_of_the_engine_names_a_test_that_exists() -> None:
    rows = [line for line in ENGINE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = [re.fullmatch(r"\| .+ \| `(tests/[\w/]+\.py)(?:::(\w+))?` \|", line) for line in rows]
    assert len(named) > 30
    for line, found in zip(rows, named, strict=True):
        if line == "| You may rely on | Held by |":
            continue
        assert found, f"no test: {line}"
        text = (REPOSITORY / found[1]).read_text(encoding="utf-8")
        assert f"def {found[2]}(" in text if found[2] else "test" in text, line


def test_links_and_pictures_of_the_readme_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


def test_the_makefile_has_the_targets_that_the_readme_names() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_workflow_runs_what_we_run_and_pins_its_actions() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/site.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", name) for name in uses)
    commands = " ".join(step["run"] for step in steps if "run" in step)
    assert all(f"make {target}" in commands for target in ("test", "lint", "site"))
    assert workflow["permissions"] == {"contents": "read"}
