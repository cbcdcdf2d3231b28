"""Builds that are kept, compared, pinned and swept, and results that are accepted, as a user does it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from project import REPOSITORY, Project

from compute.engine.leases import Leases
from compute.engine.upkeep.builds import Builds

STUDY = "dare-source-selection"


def computed(text: str) -> int:
    return int(re.findall(r"(\d+) computed", text)[0])


def with_package(project: Project) -> dict[str, str]:
    """Give a project a copy of the package that can be edited; return the environment that runs it."""
    shutil.copytree(REPOSITORY / "compute", project.root / "compute")
    return {"PYTHONPATH": str(project.root)}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_build_tells_what_it_had(built: Project) -> None:
    [manifest] = Builds(built.root / "cache").all()
    assert manifest.subject.studies == (STUDY,)
    assert len(manifest.cells) > 50
    assert {"verdict", "measured"} == set(manifest.verdicts[STUDY]["goal_2_with_target"])
    assert manifest.config[STUDY]["count"] == 2
    assert manifest.environment["git"] is None or set(manifest.environment["git"]) >= {"commit", "dirty"}
    assert str(built.root) not in manifest.to_json()


OTHER = ("--set", "scale=1.1")
"""What runs few cells anew."""


def test_one_build_alone_is_compared_with_none(built: Project) -> None:
    alone = built.run("diff")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "fewer than 2 builds" in alone.stderr


@pytest.mark.slow
def test_two_builds_differ_by_what_was_set(copied: Callable[[], Project]) -> None:
    project = copied()
    project.run("build", STUDY, *OTHER, tiny=True)
    told = project.run("diff").stdout
    assert "because of config scale: 1.2 → 1.1\n" in told
    data = json.loads(project.run("diff", "latest~1", "latest", "--json").stdout)
    [effect] = data["causes"]
    assert (effect["causes"][0]["old"], effect["causes"][0]["new"]) == (1.2, 1.1)
    assert set(effect["cells"]) == {item["name"] for item in data["changed"]}
    assert all("task_arithmetic" in name for name in effect["cells"] if name.startswith(("evaluation", "goal")))
    first = data["builds"][0]
    nearest = project.run("diff", f"{first}x")
    assert (nearest.returncode, nearest.stdout) == (2, "")
    assert first in nearest.stderr


def test_an_edit_that_changes_nothing_is_accepted_and_told(copied: Callable[[], Project]) -> None:
    project = copied()
    here = with_package(project)
    helper = project.root / "compute/evaluation/metrics.py"
    edit(helper, "return float((truth == guess).mean())", "return 0.0 + float((truth == guess).mean())")
    dry = project.run("build", STUDY, "--dry-run", tiny=True, **here)
    stale = [text for text in dry.stdout.splitlines() if "code changed" in text]
    assert stale
    refused = project.run("accept", "*", "--reason", " ", tiny=True, **here)
    assert refused.returncode == 2
    done = project.run("accept", "*", "--reason", "adding zero", tiny=True, **here)
    assert done.returncode == 0, done.stderr
    accepted = {line.removeprefix("accepted ") for line in done.stdout.splitlines() if line.startswith("accepted ")}
    assert accepted >= {line.partition(": code changed")[0] for line in stale}
    assert computed(project.run("build", STUDY, tiny=True, **here).stdout) == 0
    data = json.loads(project.run("diff", "--json").stdout)
    assert [[cause["name"] for cause in item["causes"]] for item in data["causes"]] == [
        ["compute.evaluation.metrics:accuracy"]
    ]
    assert {part for item in data["changed"] for part in item["parts"]} == {"trace"}
    again = json.loads(project.run("accept", "*", "--reason", "x", "--json", tiny=True, **here).stdout)
    assert (again["accepted"], again["refused"]) == ([], {})


def test_what_cannot_be_accepted_is_said(copied: Callable[[], Project]) -> None:
    project = copied()
    done = project.run("accept", "logits/ties/*", "--reason", "x", "--set", "density=0.5", tiny=True)
    assert done.returncode == 1
    assert "refused: logits/ties" in done.stderr
    assert "no result of it exists: build it" in done.stderr or "its config changed" in done.stderr


@pytest.mark.slow
def test_a_pinned_build_survives_and_the_rest_goes(copied: Callable[[], Project]) -> None:
    project = copied()
    project.run("build", STUDY, *OTHER, tiny=True)
    assert project.run("pin", "latest~1", "--name", "submitted").returncode == 0
    assert "submitted" in project.run("pin", "--list").stdout
    before = project.files()
    dry = json.loads(project.run("gc", "--keep-days", "0", "--dry-run", "--json").stdout)
    assert project.files() == before, "a dry run touches nothing"
    done = project.run("gc", "--keep-days", "0")
    assert done.returncode == 0, done.stderr
    assert f"{sum(item['count'] for item in dry['results'].values())} results removed" in done.stdout
    assert "paper: cannot be opened" in done.stderr
    assert computed(project.run("build", STUDY, tiny=True).stdout) == 0, "what is pinned is there"
    assert "gone from the store" in project.run("diff").stdout
    status = json.loads(project.run("status", "--json", *OTHER, tiny=True).stdout)
    assert sum(not item["fresh"] for item in status) == sum(item["count"] for item in dry["results"].values())
    assert project.run("pin", "--remove", "submitted").returncode == 0
    assert json.loads(project.run("pin", "--list", "--json").stdout) == {}


def test_young_results_go_where_the_cache_is_too_large(copied: Callable[[], Project]) -> None:
    project = copied()
    assert json.loads(project.run("gc", "--json").stdout)["results"] == {}
    most = json.loads(project.run("gc", "--max-bytes", "0", "--dry-run", "--json").stdout)
    assert most["above"], "the profile itself wants a few"
    middle = most["left"] + most["freed"] // 2
    cut = json.loads(project.run("gc", "--max-bytes", str(middle), "--json").stdout)
    assert (cut["above"], cut["left"] <= middle, cut["kept"] > most["kept"]) == (False, True, True)
    done = project.run("gc", "--max-bytes", "1kB")
    assert "still above 1.0 kB" in done.stderr
    for text in ("much", "-1", "10 apples"):
        assert project.run("gc", "--max-bytes", text).returncode == 2


def test_nothing_is_removed_beside_a_running_build(copied: Callable[[], Project]) -> None:
    project = copied()
    leases = Leases(project.root / "cache")
    assert leases.acquire("ab" * 32)
    try:
        before = project.files()
        done = project.run("gc", "--keep-days", "0")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "a build is at work" in done.stderr
        assert {path for path in before if "leases" not in path} <= set(project.files())
        assert project.run("gc", "--keep-days", "0", "--dry-run").returncode == 0
    finally:
        leases.close()
    assert project.run("gc", "--keep-days", "0").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["pin"], ["pin", "latest"], ["pin", "--name", "a", "--list"], ["pin", "--remove", "a"], ["diff", "nothing"]],
)
def test_what_is_not_known_or_not_said_is_refused(project: Project, arguments: list[str]) -> None:
    done = project.run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
