"""What differs between builds, and why: packages are built, edited, and built again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from engine_helpers import Builder, Package
from hypothesis import given
from hypothesis import strategies as st

from compute.commands.diff import lines
from compute.differences import Cause, Comparison, compare
from compute.engine.cell import Cell, reachable
from compute.engine.record import Record
from compute.engine.store import Stamp
from compute.engine.upkeep.builds import Manifest, Subject
from compute.study import readable_names

CELLS = """
    from compute.engine.cell import cell
    from PACKAGE.helpers import shifted, rounded

    @cell(label="{x}")
    def start(x, scale=1.0):
        return {"value": shifted(x) * scale, "notes": ["a", "b"]}

    @cell(label="{number}", libraries=("click",))
    def score(part, number):
        return {"accuracy": rounded(part["value"]) / 10 + number}

    @cell()
    def mean(parts):
        return sum(part["accuracy"] for part in parts) / len(parts)
"""

HELPERS = """
    def shifted(x):
        return x + 1.0

    def rounded(x):
        return round(x)
"""


@pytest.fixture
def cells(package: Package) -> Package:
    package.write("cells", CELLS)
    package.write("helpers", HELPERS)
    return package


def study(package: Package, scale: float = 1.0, count: int = 3) -> Cell:
    """Import the package as it is now; return the mean over some scores of one start."""
    for name in [name for name in sys.modules if name.startswith(f"{package.name}.")]:
        del sys.modules[name]
    module = package.load()
    start = module.start(1, scale)
    result: Cell = module.mean([module.score(start, number) for number in range(count)])
    return result


def built(build: Builder, wanted: Cell, verdict: str = "holds", **config: Any) -> Manifest:
    records = build(wanted).records
    cells = readable_names(reachable([wanted]))
    stamps = {name: records.stamps[cell.key] for name, cell in cells.items()}
    verdicts = {"study": {"claim": {"verdict": verdict, "measured": "1"}}}
    return Manifest("", Subject(("study",), "mini"), stamps, verdicts=verdicts, config={"study": config})


def causes(found: Comparison) -> Mapping[tuple[tuple[str, str], ...], tuple[str, ...]]:
    return {tuple((cause.kind, cause.name) for cause in item.causes): item.cells for item in found.effects}


EVERYTHING = ("start/1", "score/0", "score/1", "score/2", "mean")


def test_a_build_does_not_differ_from_itself(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    found = compare(build.store, one, one)
    assert list(lines(found))[-1] == "no result and no verdict differs"
    assert not (found.changed or found.effects or found.verdicts or found.config)


def test_one_edited_helper_is_one_cause_of_all_that_follows(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "x + 2.0")
    found = compare(build.store, one, built(build, study(cells)))
    assert causes(found) == {(("code", f"{cells.name}.helpers:shifted"),): EVERYTHING}
    changes = {item.name: item for item in found.changed}
    assert set(changes) == set(EVERYTHING)
    assert changes["start/1"].parts == ("trace", "digest")
    [delta] = changes["start/1"].deltas
    assert (delta.where, delta.old, delta.new, delta.largest) == ("value", 2.0, 3.0, 1.0)
    assert found.changed[0].name == "start/1", "the largest difference first"
    told = "\n".join(lines(found))
    assert f"because of code {cells.name}.helpers:shifted (edited)\n  5 cells changed, 5 with another result" in told
    assert "value: 2 → 3 (+1)" in told


def test_an_edit_that_comes_out_the_same_is_told_where_it_ends(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "1.0 + x")
    found = compare(build.store, one, built(build, study(cells)))
    assert causes(found) == {(("code", f"{cells.name}.helpers:shifted"),): ("start/1",)}
    assert [(item.parts, item.deltas) for item in found.changed] == [(("trace",), ())]


def test_an_input_that_came_out_the_same_passes_no_cause_on(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "1.0 + x")
    cells.edit("helpers", "round(x)", "round(x) + 1")
    found = compare(build.store, one, built(build, study(cells)))
    name = f"{cells.name}.helpers"
    assert causes(found) == {
        (("code", f"{name}:rounded"),): ("score/0", "score/1", "score/2", "mean"),
        (("code", f"{name}:shifted"),): ("start/1",),
    }


def test_edits_that_reach_the_same_cells_are_told_together(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "return x + 1.0", "return x + more()")
    cells.write("helpers", cells.path("helpers").read_text() + "\n\ndef more():\n    return 3.0\n")
    found = compare(build.store, one, built(build, study(cells)))
    name = f"{cells.name}.helpers"
    assert causes(found) == {(("code", f"{name}:more"), ("code", f"{name}:shifted")): EVERYTHING}
    assert f"because of code {name}:more (new)" in lines(found)


def test_a_config_value_is_called_as_the_study_calls_it(build: Builder, cells: Package) -> None:
    one = built(build, study(cells), models={"start": {"scale": 1.0}}, unused=1)
    other = built(build, study(cells, scale=2.0), models={"start": {"scale": 2.0}}, unused=2)
    found = compare(build.store, one, other)
    assert causes(found) == {(("config", "models.start.scale"),): EVERYTHING}
    assert {item.name: item.parts for item in found.changed}["mean"] == ("key", "trace", "digest")
    told = list(lines(found))
    assert "because of config models.start.scale: 1 → 2" in told
    assert told[told.index("config changed that no compared result depends on: 1") + 1] == "  config unused: 1 → 2"


def test_cells_that_are_new_or_gone_change_what_lists_them(build: Builder, cells: Package) -> None:
    one, other = built(build, study(cells)), built(build, study(cells, count=2))
    found = compare(build.store, one, other)
    assert (found.added, found.gone) == ((), ("score/2",))
    assert causes(found) == {(("config", "parts[2]"),): ("mean",)}
    assert compare(build.store, other, one).added == ("score/2",)


def test_another_version_of_a_library_is_a_cause(
    build: Builder, cells: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compute.engine import code

    one = built(build, study(cells))
    monkeypatch.setattr(code, "version", lambda name: "99")
    found = compare(build.store, one, built(build, study(cells)))
    [cause] = found.effects[0].causes
    assert (cause.kind, cause.name, cause.new) == ("library", "click", "99")


def with_stamp(manifest: Manifest, name: str, **changes: str) -> Manifest:
    cells = {**manifest.cells, name: manifest.cells[name]._replace(**changes)}
    return Manifest(**{**vars(manifest), "cells": cells})


def test_another_result_of_the_same_call_by_the_same_code_is_said_to_be_so(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    found = compare(build.store, with_stamp(one, "start/1", digest="0" * 64), one)
    assert causes(found) == {(("outcome", "start/1"),): ("start/1",)}
    assert found.changed[0].note == "the old result is gone from the store"


def test_results_that_are_gone_are_said_to_be_gone(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "x + 2.0")
    other = built(build, study(cells))
    for stamp in one.cells.values():
        shutil.rmtree(build.store.folder(stamp.key, stamp.trace))
    found = compare(build.store, one, other)
    assert {item.note for item in found.changed} == {"the old result is gone from the store"}
    assert causes(found) == {(("unknown", "records that are gone from the store"),): EVERYTHING}


def test_a_damaged_result_is_told_and_not_compared(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "x + 2.0")
    other = built(build, study(cells))
    stamp = one.cells["start/1"]
    (build.store.folder(stamp.key, stamp.trace) / "value.json").write_text("{}")
    notes = {item.name: item.note for item in compare(build.store, one, other).changed}
    assert "was damaged" in notes["start/1"]
    assert notes["mean"] == ""


def test_large_results_are_told_apart_by_digest(
    build: Builder, cells: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.differences.LARGEST", 3)
    one = built(build, study(cells))
    cells.edit("helpers", "x + 1.0", "x + 2.0")
    found = compare(build.store, one, built(build, study(cells)))
    assert {item.name: item.note for item in found.changed}["start/1"].endswith("told apart by digest alone")


def test_claims_that_flipped_come_first(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    found = compare(build.store, one, built(build, study(cells), verdict="does not hold"))
    assert list(lines(found))[1:] == [
        "claims flipped: 1",
        "  study, claim: holds → does not hold (measured 1 → 1)",
    ]
    [claim] = found.as_data()["claims"]
    assert claim["flipped"] is True


def test_what_fails_now_is_told(build: Builder, cells: Package) -> None:
    one = built(build, study(cells))
    cut = {name: stamp for name, stamp in one.cells.items() if name != "mean"}
    other = Manifest(**{**vars(one), "cells": cut, "failures": {"mean": "E"}, "blocked": ("after",)})
    told = list(lines(compare(build.store, one, other)))
    assert told[1:] == ["cells gone: 1", "  mean", "failed now: 1", "  mean", "blocked now: 1", "  after"]
    assert "failed no longer: 1" in lines(compare(build.store, other, one))


def test_long_lists_are_cut_in_text_and_whole_for_programs(build: Builder, cells: Package) -> None:
    one = built(build, study(cells, count=30))
    cells.edit("helpers", "x + 1.0", "x + 2.0")
    found = compare(build.store, one, built(build, study(cells, count=30)))
    told = list(lines(found))
    assert len(told) < 40
    assert "    … 32 in all" in told
    assert len(found.as_data()["changed"]) == 32


stamps = st.builds(Stamp, *[st.sampled_from("ab")] * 3)
manifests = st.builds(
    Manifest, st.just(""), st.just(Subject(("s",), "p")), st.dictionaries(st.sampled_from("uvwxyz"), stamps)
)


class Nothing:
    """A store from which all is gone."""

    def find(self, key: str, trace: str) -> Record | None:
        return None


@given(manifests, manifests)
def test_every_cell_is_told_once(one: Manifest, other: Manifest) -> None:
    store: Any = Nothing()
    found, back = compare(store, one, other), compare(store, other, one)
    same = {name for name in one.cells if one.cells[name] == other.cells.get(name)}
    told = [*found.added, *found.gone, *(item.name for item in found.changed)]
    assert sorted([*told, *same]) == sorted({*one.cells, *other.cells})
    assert (found.added, set(found.gone)) == (back.gone, set(back.added))
    assert {name for item in found.effects for name in item.cells} == {item.name for item in found.changed}
    assert all(isinstance(cause, Cause) for item in found.effects for cause in item.causes)
    assert list(lines(found))
