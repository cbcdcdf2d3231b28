"""Bad input gets one clear line and exit code 2, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from project import REPOSITORY, Project

BUILD = ("build", "dare-source-selection")


def refused(project: Project, *arguments: str, **environment: str) -> str:
    """Run a command that must be refused; return the one line that says why."""
    before = project.files()
    done = project.run(*arguments, **environment)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert project.files() == before
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "dare-source-selektion"), ["unknown study", "dare-source-selection"]),
        (("build",), ["name the studies", "--all"]),
        ((*BUILD, "--profile", "minni"), ["unknown profile", "mini"]),
        ((*BUILD, "--set", "locales=sq-AL,de-DE,it-IT,sw-KA"), ["unknown locale", "sw-KE"]),
        ((*BUILD, "--set", "models.pretraining.amounts.sw-KA=0.5"), ["unknown locale", "sw-KE"]),
        ((*BUILD, "--set", "densty=0.3"), ["unknown config key", "density"]),
        ((*BUILD, "--set", "models.finetuning.epoch=3"), ["unknown config key", "models.finetuning.epochs"]),
        ((*BUILD, "--set", "seed=high"), ["seed", "integer", '"high"']),
        ((*BUILD, "--set", "count=2.5"), ["count", "2.5"]),
        ((*BUILD, "--set", "density=0"), ["density", "greater than 0"]),
        ((*BUILD, "--set", "density=1.2"), ["density", "less than or equal to 1"]),
        ((*BUILD, "--set", "drop_rate=1.0"), ["drop_rate", "less than 1"]),
        ((*BUILD, "--set", "methods=ties,tise"), ["unknown", "tise", "ties"]),
        ((*BUILD, "--set", "density"), ["expected key=value"]),
        ((*BUILD, "--set", "targets=pl-PL"), ["target pl-PL", "locales"]),
        ((*BUILD, "--set", "count=14"), ["count 14", "13 sources"]),
        ((*BUILD, "--set", "data=missing.parquet"), ["missing.parquet"]),
        ((*BUILD, "--force", "expert/xx"), ["unknown cell", "expert/"]),
        (("why", "evaluatoin"), ["unknown cell"]),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(
    project: Project, arguments: tuple[str, ...], says: list[str]
) -> None:
    line = refused(project, *arguments)
    for part in says:
        assert part in line


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    assert "mkdocs.yml" in refused(Project(tmp_path), "build", "--all")


def test_yaml_that_does_not_parse_is_refused_with_its_line(project: Project) -> None:
    shutil.copytree(REPOSITORY / "compute", project.root / "compute")
    profile = project.root / "compute/studies/dare_source_selection/mini.yaml"
    text = profile.read_text(encoding="utf-8").replace("seed: 0\n", "seed: 0\n  data: [\n")
    profile.write_text(text, encoding="utf-8")
    line = refused(project, *BUILD, PYTHONPATH=str(project.root), PYTHONDONTWRITEBYTECODE="1")
    assert "mini.yaml, line 3" in line


def test_a_data_file_that_lacks_a_column_is_refused_by_name(project: Project) -> None:
    import pandas as pd

    rows = pd.DataFrame({"id": [1], "locale": ["sq-AL"], "partition": ["train"], "utt": ["x"], "scenario": ["s"]})
    rows.to_parquet(project.root / "lacking.parquet")
    line = refused(project, *BUILD, "--set", "data=lacking.parquet")
    assert "intent" in line
    assert "lacking.parquet" in line
