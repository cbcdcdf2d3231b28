"""A config that was checked is remembered as it was, for as long as nothing that it depends on changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import CHANGES, STUDY, Project

from compute import config as configs
from compute import study as studies
from compute.checked import MOST, Checked, frozen, thawed
from compute.engine import privacy


@dataclass(frozen=True)
class Part:
    size: int
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    names: list[str]
    other: Any = None
    count: int = field(default=3, init=False)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
parts = st.builds(Part, st.integers(), st.dictionaries(st.text(), st.floats(allow_nan=False)))
trees = st.recursive(plain | parts, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=8)


@given(st.builds(Whole, st.lists(parts).map(tuple), st.lists(st.text()), trees))
def test_a_config_comes_back_as_it_was(config: Whole) -> None:
    found = thawed(json.loads(json.dumps(frozen(config))))
    assert repr(found) == repr(config)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", Part])
def test_what_is_no_plain_config_is_not_kept(value: object) -> None:
    with pytest.raises(TypeError):
        frozen(Whole((), [], value))


@pytest.mark.parametrize(
    ("slug", "profile"), [(slug, profile) for slug in studies.slugs() for profile in studies.load(slug).profiles()]
)
@pytest.mark.parametrize("changes", [(), ("seed=7",)])
def test_a_profile_comes_back_as_it_was_checked(
    tmp_path: Path, slug: str, profile: str, changes: tuple[str, ...]
) -> None:
    study = studies.load(slug)
    checked = Checked(tmp_path / "configs.json")
    first = checked.load(study, profile, changes)
    checked.save()
    assert first == configs.load(study, profile, changes)
    assert Checked(tmp_path / "configs.json").load(study, profile, changes) == first


def test_only_the_latest_configs_are_kept(tmp_path: Path) -> None:
    study = studies.load("dare-source-selection")
    checked = Checked(tmp_path / "configs.json")
    for seed in range(MOST + 5):
        checked.load(study, "mini", (f"seed={seed}",))
    checked.save()
    assert len(json.loads((tmp_path / "configs.json").read_bytes())) == MOST


@pytest.mark.parametrize("tree", [{"class": "compute.nothing:Config", "members": {}}, ["set"], None])
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, tree: Any) -> None:
    study = studies.load("dare-source-selection")
    index = tmp_path / "configs.json"
    checked = Checked(index)
    first = checked.load(study, "mini", ())
    checked.save()
    key = next(iter(json.loads(index.read_bytes())))
    index.write_text(json.dumps({key: tree}) if tree else "{", encoding="utf-8")
    assert Checked(index).load(study, "mini", ()) == first


def test_a_folder_that_tells_who_somebody_is_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    privacy.forget()
    study = studies.load("dare-source-selection")
    checked = Checked(tmp_path / "configs.json")
    checked.load(study, "mini", (f"data={tmp_path}/massive.parquet",))
    checked.save()
    privacy.forget()
    assert not (tmp_path / "configs.json").exists()


def test_a_config_that_is_remembered_needs_no_pydantic(copied: Callable[[], Project]) -> None:
    project = copied()
    assert project.run("build", STUDY, tiny=True).returncode == 0
    arguments = ["build", STUDY, *CHANGES]
    script = f"import sys; from compute.cli import main; main({arguments!r}, standalone_mode=False)"
    done = project.python(f"{script}; print('pydantic' in sys.modules)")
    assert done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr


def test_what_was_refused_is_refused_again(copied: Callable[[], Project]) -> None:
    project = copied()
    refused = [project.run("status", "--set", "density=2", tiny=True) for _ in range(2)]
    assert [done.returncode for done in refused] == [2, 2]
    assert refused[0].stderr == refused[1].stderr
    assert "density" in refused[0].stderr
