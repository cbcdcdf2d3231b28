from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from engine_helpers import Builder, Package

from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.plan import Planner
from compute.engine.sources import Sources
from compute.engine.upkeep.accept import Answer, accept
from compute.errors import UsageError

CELLS = """
    from compute.engine.cell import cell
    from PACKAGE.helpers import shifted

    @cell(label="{x}")
    def first(x):
        return shifted(x)

    @cell(label="{a}")
    def second(a, offset=0):
        return a + offset

    @cell(label="{a}")
    def third(a):
        return shifted(a) * 2

    @cell()
    def large():
        import numpy as np
        return {"w": np.arange(100_000.0), "n": shifted(1)}
"""

HELPERS = """
    def shifted(x):
        return x + 1
"""


@pytest.fixture
def cells(package: Package) -> Package:
    package.write("cells", CELLS)
    package.write("helpers", HELPERS)
    return package


def refactor(package: Package) -> None:
    """Write a helper otherwise, so that it gives the same."""
    package.edit("helpers", "x + 1", "1 + x")


def reloaded(package: Package) -> Any:
    """Import the edited modules anew, as another process would."""
    for name in [name for name in sys.modules if name.startswith(f"{package.name}.")]:
        del sys.modules[name]
    return package.load()


def accepted(build: Builder, *cells: Cell, reason: str = "the same sum") -> list[Answer]:
    return accept(Planner(build.store, Code()), cells, reason)


def test_what_only_its_code_made_stale_is_fresh_again_with_its_dependents(build: Builder, cells: Package) -> None:
    module = cells.load()
    one = module.first(1)
    two = module.second(one)
    three = module.third(two)
    before = build(three).records
    old = {cell.key: before[cell.key] for cell in (one, two, three)}
    refactor(cells)
    answers = accepted(build, three, one)
    assert [item.cell.name for item in answers] == ["first/1", "third/1"], "inputs first"
    assert not any(item.refused for item in answers)
    assert build(three).computed == set()
    for cell in (one, three):
        record = build.store.others(cell.key)[-1] if cell is one else answers[1].record
        new = next(item for item in build.store.others(cell.key) if item.accepted)
        assert record
        assert new.accepted is not None
        assert new.accepted["reason"] == "the same sum"
        assert new.accepted["under"] == old[cell.key].trace.id
        assert new.trace.id != old[cell.key].trace.id
        assert (new.when, new.cost, new.environment, new.digest) == (
            old[cell.key].when, old[cell.key].cost, old[cell.key].environment, old[cell.key].digest,
        )  # fmt: skip
        assert build.store.load(new) == build.store.load(old[cell.key])
    assert [item.accepted for item in build.store.others(two.key)] == [None], "its own code did not change"


def test_large_files_take_their_bytes_once(build: Builder, cells: Package) -> None:
    cell = cells.load().large()
    build(cell)
    refactor(cells)
    [answer] = accepted(build, cell)
    assert answer.record
    np.testing.assert_array_equal(build.store.load(answer.record)["w"], np.arange(100_000.0))
    found = [path.stat() for path in build.store.root.rglob("*") if path.is_file() and path.stat().st_size > 100_000]
    assert len({stat.st_ino for stat in found}) == 1
    assert list((build.store.root / "tmp").iterdir()) == []


def test_accepting_twice_and_what_is_fresh_changes_nothing(build: Builder, cells: Package) -> None:
    cell = cells.load().first(1)
    build(cell)
    assert accepted(build, cell) == [Answer(cell)]
    refactor(cells)
    accepted(build, cell)
    assert accepted(build, cell) == [Answer(cell)]
    assert len(build.store.others(cell.key)) == 2


def test_the_texts_of_the_accepted_code_are_kept(build: Builder, cells: Package) -> None:
    cell = cells.load().first(1)
    build(cell)
    refactor(cells)
    [answer] = accepted(build, cell)
    assert answer.record
    text = Sources(build.store.root).text(answer.record.trace.code[f"{cells.name}.helpers:shifted"])
    assert text is not None
    assert "1 + x" in text


def test_the_nearest_code_is_accepted(build: Builder, cells: Package) -> None:
    module = cells.load()
    cell = module.third(1)
    near = build(cell).records[cell.key]
    cells.edit("cells", "shifted(a) * 2", "shifted(a) * 3")
    build(cell)
    cells.edit("cells", "shifted(a) * 3", "shifted(a) * 2")
    refactor(cells)
    [answer] = accepted(build, cell)
    assert answer.record
    assert (answer.record.accepted or {})["under"] == near.trace.id


def refused(build: Builder, *cells: Cell) -> list[str]:
    before = [record.to_json() for record in build.store.all()]
    answers = accepted(build, *cells)
    assert [record.to_json() for record in build.store.all()] == before, "nothing is kept"
    return [item.refused for item in answers]


def test_what_was_never_computed_is_refused(build: Builder, cells: Package) -> None:
    assert refused(build, cells.load().first(1)) == ["no result of it exists: build it"]


def test_another_config_is_refused(build: Builder, cells: Package) -> None:
    module = cells.load()
    one = module.first(1)
    build(module.second(one, 1))
    assert refused(build, module.second(one, 2)) == ["its config changed, not its code alone: build it"]


def test_another_input_is_refused_by_name(build: Builder, cells: Package) -> None:
    module = cells.load()
    one = module.first(1)
    three = module.third(one)
    build(three)
    cells.edit("helpers", "x + 1", "x + 2")
    module = reloaded(cells)
    one, three = module.first(1), module.third(module.first(1))
    assert refused(build, three) == ["its input first/1 is not fresh: accept or build that first"]
    build(one)
    assert refused(build, three) == ["its input first/1 has another result than it was made from: build it"]


def test_what_failed_under_this_code_is_refused(build: Builder, cells: Package) -> None:
    cell = cells.load().first(1)
    build(cell)
    cells.edit("helpers", "x + 1", "x + undefined")
    cell = reloaded(cells).first(1)
    assert build(cell).failures
    [why] = refused(build, cell)
    assert why.startswith("it failed under this code: NameError")


def test_a_damaged_result_is_refused(build: Builder, cells: Package) -> None:
    cell = cells.load().first(1)
    record = build(cell).records[cell.key]
    refactor(cells)
    (build.store.folder(record.key, record.trace.id) / "value.json").write_text("7")
    [why] = refused(build, cell)
    assert why.startswith("its stored result is not whole, build it")


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_reason_is_needed(build: Builder, cells: Package, reason: str) -> None:
    cell = cells.load().first(1)
    build(cell)
    with pytest.raises(UsageError, match="--reason"):
        accepted(build, cell, reason=reason)


def test_a_reason_betrays_nobody(build: Builder, cells: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    from compute.engine import privacy

    cell = cells.load().first(1)
    build(cell)
    refactor(cells)
    token = "hf_" + "a1" * 17
    [answer] = accepted(build, cell, reason=f"as {token} said")
    assert answer.record
    said: Any = answer.record.accepted
    assert said["reason"] == f"as {privacy.SECRET} said"
