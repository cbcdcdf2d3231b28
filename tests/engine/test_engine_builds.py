from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.engine.store import Stamp
from compute.engine.upkeep.builds import Builds, Manifest, Subject, content
from compute.errors import RecountError, UsageError

MINI = Subject(("a", "b"), "mini")
CHANGED = Subject(("a", "b"), "mini", ("density=0.5",))
OTHER = Subject(("a",), "full")
WHEN = "2026-01-01T10:00:00+00:00"

names = st.text(max_size=8)
stamps = st.builds(Stamp, names, names, names)
verdicts = st.dictionaries(
    names, st.dictionaries(names, st.dictionaries(names, names, max_size=2), max_size=2), max_size=2
)
manifests = st.builds(
    Manifest,
    when=st.just(WHEN),
    subject=st.builds(Subject, st.lists(names).map(tuple), names, st.lists(names).map(tuple)),
    cells=st.dictionaries(names, stamps, max_size=4),
    failures=st.dictionaries(names, names, max_size=2),
    blocked=st.lists(names, max_size=2).map(tuple),
    verdicts=verdicts,
    config=st.dictionaries(names, st.integers() | st.floats(allow_nan=False) | names, max_size=2),
)


def made(subject: Subject = MINI, when: str = WHEN, **cells: str) -> Manifest:
    return Manifest(when, subject, {name: Stamp(digest * 3, digest * 2, digest) for name, digest in cells.items()})


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path / "cache")


@given(manifests)
def test_a_manifest_comes_back_from_its_json(manifest: Manifest) -> None:
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert list(again.cells) == list(manifest.cells), "inputs stay before what depends on them"
    assert again.content == manifest.content


@given(manifests, manifests)
def test_the_same_content_means_the_same_results_and_verdicts(one: Manifest, other: Manifest) -> None:
    def shown(item: Manifest) -> Any:
        return sorted(item.cells.values()), sorted([*item.failures, *item.blocked]), item.verdicts

    assert (one.content == other.content) == (shown(one) == shown(other))
    assert one.content == replace(one, when="2027-01-01T00:00:00+00:00", config={}, settings={"device": "x"}).content
    assert one.content == content(reversed(list(one.cells.values())), [*one.blocked, *one.failures], one.verdicts)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "{}", '{"schema": 1}', '{"schema": 1, "content": 1, "subject": 1}']
)
def test_what_is_no_whole_manifest_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        Manifest.from_json(text)


def test_a_manifest_of_another_version_of_the_tool_is_left_alone(builds: Builds) -> None:
    kept = builds.keep(made(x="1"))
    path = builds.folder / f"{kept.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "schema": 99}), encoding="utf-8")
    later = builds.keep(made(x="2"))
    assert path.exists()
    assert builds.read(kept.id) is None
    assert list(builds.all()) == [later]


def test_the_newest_build_is_that_of_the_same_subject(builds: Builds) -> None:
    assert builds.newest(MINI) is None
    first = builds.keep(made(x="1"))
    changed = builds.keep(made(CHANGED, x="2"))
    second = builds.keep(made(x="3"))
    assert builds.newest(MINI) == second
    assert builds.newest(CHANGED) == changed
    assert first.id < second.id, "also within a second"
    assert {item.id for item in builds.all()} == {first.id, changed.id, second.id}


def test_a_clock_set_back_does_not_make_a_build_older(builds: Builds) -> None:
    first = builds.keep(made(when="2030-01-01T00:00:00+00:00", x="1"))
    second = builds.keep(made(when=WHEN, x="2"))
    assert first.id < second.id
    assert builds.newest(MINI) == second
    assert second.when == WHEN


def test_subjects_whose_marks_collide_are_kept_apart(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "mark", "0000")
    first, second = builds.keep(made(x="1")), builds.keep(made(CHANGED, x="2"))
    assert first.id != second.id
    assert (builds.newest(MINI), builds.newest(CHANGED)) == (first, second)


def test_builds_are_found_by_id_beginning_pin_and_place(builds: Builds) -> None:
    first = builds.keep(made(when="2026-01-01T00:00:00+00:00", x="1"))
    second = builds.keep(made(CHANGED, when="2026-02-01T00:00:00+00:00", x="2"))
    other = builds.keep(made(OTHER, when="2026-02-02T00:00:00+00:00", x="3"))
    last = builds.keep(made(when="2026-03-01T00:00:00+00:00", x="4"))
    assert builds.find(first.id) == first
    assert builds.find("20260101") == first
    assert builds.find("latest") == builds.find("latest~0") == last
    assert builds.find("latest~1") == second, "other changes of the same studies and profile, but no other studies"
    assert builds.find("latest~2") == first
    builds.pin(other, "submitted")
    assert builds.find("submitted") == other


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("submited", "did you mean submitted"),
        ("2026", "may be"),
        ("", "unknown build"),
        ("latest~7", "fewer than 8 builds of a, b [(]mini[)]"),
        ("20270101", "unknown build '20270101'"),
    ],
)
def test_a_build_that_is_not_known_is_refused_with_the_nearest(builds: Builds, name: str, said: str) -> None:
    builds.pin(builds.keep(made(x="1")), "submitted")
    builds.keep(made(x="2"))
    with pytest.raises(UsageError, match=said):
        builds.find(name)


def test_without_a_build_the_latest_is_refused(builds: Builds) -> None:
    with pytest.raises(UsageError, match="run build first"):
        builds.find("latest")


def test_a_pin_outlives_its_build(builds: Builds) -> None:
    first = builds.keep(made(x="1"))
    builds.pin(first, "v1.0")
    builds.pin(first, "v1.0")  # once more changes nothing
    builds.remove(first.id)
    builds.remove(first.id)
    assert builds.ids() == []
    assert builds.find("v1.0") == first
    builds.unpin("v1.0")
    assert builds.pins() == {}


REFUSED: dict[str, Callable[[Builds, Manifest], None]] = {
    "taken": lambda builds, item: builds.pin(item, "old"),
    "expected letters": lambda builds, item: builds.pin(item, "../up"),
    "neither latest": lambda builds, item: builds.pin(item, "latest~1"),
    "nor an id": lambda builds, item: builds.pin(item, item.id),
    "did you mean old": lambda builds, item: builds.unpin("odl"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_pins_that_would_mislead_are_refused(builds: Builds, what: str) -> None:
    builds.pin(builds.keep(made(x="1")), "old")
    second = builds.keep(made(x="2"))
    with pytest.raises(UsageError, match="is build" if what == "taken" else what):
        REFUSED[what](builds, second)
    assert [item.cells["x"].digest for item in builds.pins().values()] == ["1"]


def test_a_pin_that_cannot_be_read_keeps_nobody_in_the_dark(builds: Builds) -> None:
    builds.pin(builds.keep(made(x="1")), "old")
    (builds.pinned / "old.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecountError, match="pin 'old' cannot be read: remove it by pin --remove old"):
        builds.pins()
    builds.unpin("old")
    assert builds.pins() == {}
