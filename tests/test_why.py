"""`why` and `show` as a user sees them, on a project whose code was edited."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable

import pytest
from project import REPOSITORY, Project

from compute.commands.why import _styled

CELL = "evaluation/de-DE/on/sq-AL/test"


@pytest.fixture
def edited(copied: Callable[[], Project]) -> Callable[..., Project]:
    """A built project with a package of its own, in which one text was replaced."""

    def edit(module: str, old: str, new: str) -> Project:
        project = copied()
        shutil.copytree(REPOSITORY / "compute", project.root / "compute", ignore=shutil.ignore_patterns("__pycache__"))
        path = project.root / "compute" / module
        source = path.read_text(encoding="utf-8")
        assert source.count(old) == 1
        path.write_text(source.replace(old, new), encoding="utf-8")
        return project

    return edit


def run(project: Project, *arguments: str) -> str:
    done = project.run(*arguments, tiny=True, PYTHONPATH=str(project.root))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_why_shows_the_diff_of_a_helper_that_changed(edited: Callable[..., Project]) -> None:
    project = edited(
        "evaluation/metrics.py", "share, scale = correct / n, 1 + z * z / n", "share, scale = correct / n, 2.0"
    )
    text = run(project, "why", CELL)
    lines = text.splitlines()
    assert lines[0] == f"{CELL} will run: code changed"
    assert re.search(r"--- compute\.evaluation\.metrics:wilson \(result of \d{4}-\d\d-\d\d\)$", text, re.MULTILINE)
    assert "      +++ compute.evaluation.metrics:wilson (now)" in lines
    assert [line.strip() for line in lines if re.match(r" {6}[-+] ", line)] == [
        "-    share, scale = (correct / n, 1 + z * z / n)",
        "+    share, scale = (correct / n, 2.0)",
    ]
    assert "\x1b" not in text, "what is no terminal gets no colours"
    (found,) = json.loads(run(project, "why", CELL, "--json"))
    assert [(item["name"], item["change"]) for item in found["code"]] == [
        ("compute.evaluation.metrics:wilson", "changed")
    ]
    assert found["compared_with"]["same_key"]
    assert (found["config"], found["inputs"], found["libraries"], found["failure"]) == ([], [], [], None)


def test_nothing_runs_and_why_says_so_after_a_comment(edited: Callable[..., Project]) -> None:
    project = edited("evaluation/metrics.py", '"""Scores of predictions', '"""Some scores of predictions')
    assert run(project, "why", CELL).startswith(f"{CELL} is fresh: computed ")


def test_show_says_where_code_could_not_be_followed(edited: Callable[..., Project]) -> None:
    project = edited(
        "cells/evaluation.py",
        "    low, high = metrics.wilson(",
        '    low, high = getattr(metrics, "wil" + "son")(',
    )
    line = (
        "compute.cells.evaluation:_measured uses compute.evaluation.metrics as a value: "
        "the whole module compute.evaluation.metrics counts"
    )
    (shown,) = json.loads(run(project, "show", CELL, "--json"))
    assert shown["widened"] == [line]
    assert "compute.evaluation.metrics:macro_f1" in shown["code"]
    assert "widened:" in run(project, "show", CELL)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("base will run: code changed", "1"),
        ("      +++ m:f (now)", "1"),
        ("      --- m:f (result of 2026-01-01)", "1"),
        ("      @@ -1 +1 @@", "36"),
        ("      +    x", "32"),
        ("      -    x", "31"),
    ],
)
def test_a_terminal_gets_colours(line: str, code: str) -> None:
    assert _styled(line) == f"\x1b[{code}m{line}\x1b[0m"


@pytest.mark.parametrize("line", ["       return x", "    density: 0.2 → 0.5", "  against the last result"])
def test_other_lines_have_none(line: str) -> None:
    assert _styled(line) == line
