"""What differs from the nearest result, and how `why` tells it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cells_for_tests import added, failing, number
from engine_helpers import Builder, Package

from compute.engine import code as code_module
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.plan import Planner
from compute.engine.sources import Sources
from compute.engine.store import Store
from compute.engine.upkeep.changes import ABSENT, Changes, Comparison
from compute.explain import LINES, MOST, Explanation, explanation
from compute.session import Session

CELLS = """
    from compute.engine.cell import cell
    from .helpers import helped

    @cell(label="{x}", libraries=("numpy",))
    def total(x, options, inner=None):
        return helped(x)

    @cell(label="{x}")
    def inner(x):
        return [x]

    @cell(store=False)
    def inside(x):
        return x
"""

HELPERS = """
    LIMIT = 3

    def helped(x):
        # a comment
        y = x + 1
        return min(y, LIMIT)
"""


@pytest.fixture
def cells(package: Package) -> Any:
    package.write("cells", CELLS)
    package.write("helpers", HELPERS)
    return package.load()


def compared(store: Store, cell: Cell, digests: dict[str, str] | None = None) -> Changes:
    found = Comparison(store, Code(), {item.key: item.name for item in cell.inputs}).nearest(cell, digests or {})
    assert found is not None
    return found


def explained(store: Store, cell: Cell) -> Explanation:
    session = SimpleNamespace(store=store, code=Code(), names={})
    plan = Planner(store, session.code).plan([cell])
    return explanation(cast(Session, session), plan, plan.steps[cell.key])


def test_config_values_are_compared_by_dotted_names(cells: Any, build: Builder, store: Store) -> None:
    build(cells.total(1, {"a": {"b": 1}, "c": 2}), cells.total(1, {"a": {"b": 5}, "c": 5}))
    found = compared(store, cells.total(1, {"a": {"b": 3}, "c": 2, "d": None}))
    assert not found.same_key
    assert [(item.name, item.old, item.new) for item in found.config] == [
        ("options.a.b", 1, 3),
        ("options.d", ABSENT, None),
    ]
    assert (found.code, found.libraries, found.inputs) == ((), (), ())


def test_the_arguments_of_an_input_that_is_not_kept_are_compared_too(cells: Any, build: Builder, store: Store) -> None:
    build(cells.total(1, {}, cells.inside(1)))
    found = compared(store, cells.total(1, {}, cells.inside(2)))
    assert [(item.name, item.old, item.new) for item in found.config] == [("inner.x", 1, 2)]


def test_a_definition_that_changed_is_shown_as_a_diff_of_what_counts(
    cells: Any, package: Package, build: Builder, store: Store
) -> None:
    total = cells.total(1, {})
    when = build(total).records[total.key].when[:10]
    package.edit("helpers", "y = x + 1", "y = x + 2  # more")
    package.edit("helpers", "a comment", "another comment")
    found = compared(store, total)
    name = f"{package.name}.helpers:helped"
    assert found.same_key
    assert [(item.name, item.change) for item in found.code] == [(name, "changed")]
    assert found.code[0].diff == (
        f"--- {name} (result of {when})",
        f"+++ {name} (now)",
        "@@ -1,3 +1,3 @@",
        " def helped(x):",
        "-    y = x + 1",
        "+    y = x + 2",
        "     return min(y, LIMIT)",
    )


def test_definitions_that_came_and_went_are_shown_whole(
    cells: Any, package: Package, build: Builder, store: Store
) -> None:
    total = cells.total(1, {})
    build(total)
    package.edit("helpers", "return min(y, LIMIT)", "return other(y)\n\ndef other(y):\n    return y")
    found = {item.name.partition(":")[2]: item for item in compared(store, total).code}
    assert {name: item.change for name, item in found.items()} == {
        "helped": "changed",
        "other": "added",
        "LIMIT": "removed",
    }
    assert found["other"].diff is not None and found["LIMIT"].diff is not None
    assert found["other"].diff[3:] == ("+def other(y):", "+    return y")
    assert found["LIMIT"].diff[3:] == ("-LIMIT = 3",)
    assert (found["other"].old, found["LIMIT"].new) == (None, None)


def test_another_origin_of_a_name_is_a_difference_that_shows(
    cells: Any, package: Package, build: Builder, store: Store
) -> None:
    package.write("others", HELPERS)
    total = cells.total(1, {})
    build(total)
    package.edit("cells", "from .helpers import", "from .others import")
    found = {item.name.partition(".")[2]: item for item in compared(store, total).code}
    diff = found["cells:total"].diff or ()
    assert f"-from {package.name}.helpers import helped" in diff
    assert f"+from {package.name}.others import helped" in diff


def test_a_text_that_was_not_kept_is_said_to_be_missing(
    cells: Any, package: Package, build: Builder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = cells.total(1, {})
    build(total)
    package.edit("helpers", "x + 1", "x + 2")
    monkeypatch.setattr(Sources, "text", lambda *_: None)
    assert [item.diff for item in compared(store, total).code] == [None]
    lines = list(explained(store, total).lines())
    assert f"    {package.name}.helpers:helped changed, but its former text was not kept" in lines


def test_another_version_of_a_library_is_a_difference(
    cells: Any, build: Builder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = cells.total(1, {})
    build(total)
    old = code_module.version("numpy")
    monkeypatch.setattr(code_module, "version", lambda name: "99.0")
    found = compared(store, total)
    assert [(item.name, item.old, item.new) for item in found.libraries] == [("numpy", old, "99.0")]
    assert f"    library numpy: {old!r} → '99.0'" in list(explained(store, total).lines())


def test_inputs_are_named_with_both_digests(cells: Any, package: Package, build: Builder, store: Store) -> None:
    total = cells.total(1, {}, cells.inner(7))
    before = build(total).records[cells.inner(7).key].digest
    found = compared(store, total, {cells.inner(7).key: "f" * 64})
    assert [(item.cell, item.old, item.new) for item in found.inputs] == [("inner/7", before, "f" * 64)]


def test_of_several_results_the_one_with_the_fewest_changes_is_the_nearest(
    cells: Any, package: Package, build: Builder, store: Store
) -> None:
    total = cells.total(1, {})
    first = build(total).records[total.key]
    package.edit("helpers", "LIMIT = 3", "LIMIT = 4")
    package.edit("helpers", "x + 1", "x + 2")
    build(total)
    package.edit("helpers", "LIMIT = 4", "LIMIT = 3")
    package.edit("helpers", "x + 2", "x + 3")
    found = compared(store, total)
    assert (found.record.trace.id, len(found.code)) == (first.trace.id, 1)


def test_without_any_result_there_is_nothing_to_compare_with(cells: Any, store: Store) -> None:
    assert Comparison(store, Code(), {}).nearest(cells.total(1, {}), {}) is None
    assert list(explained(store, cells.total(1, {})).lines()) == ["total/1 will run: missing"]


def test_a_fresh_cell_says_since_when(cells: Any, build: Builder, store: Store) -> None:
    total = cells.total(1, {})
    record = build(total).records[total.key]
    found = explained(store, total)
    assert list(found.lines()) == [f"total/1 is fresh: computed {record.when}"]
    assert (found.as_data()["fresh"], found.as_data()["computed"]) == (True, record.when)


def test_inputs_that_will_run_are_named(cells: Any, package: Package, build: Builder, store: Store) -> None:
    total = cells.total(1, {}, [cells.inner(1), cells.inner(2)])
    build(total)
    package.edit("cells", "return [x]", "return [x, x]")
    found = explained(store, total)
    assert found.as_data()["will_run_before"] == ["inner/1", "inner/2"]
    assert list(found.lines())[:3] == [
        "total/1 will run: input will run",
        "  input that will run: inner/1",
        "  input that will run: inner/2",
    ]


def test_a_failure_is_told_with_its_attempts(build: Builder, store: Store, log: str) -> None:
    cell = failing(1, log)
    build(cell)
    build(cell)
    found = explained(store, cell)
    failure = store.failure(cell.key)
    assert failure is not None
    assert list(found.lines())[1] == f"  failed 2 times, last {failure.when}: ValueError: not mended yet"
    assert found.as_data()["failure"] == {
        "error": "ValueError: not mended yet",
        "attempts": 2,
        "when": failure.when,
    }


def test_long_lists_are_cut_with_a_count_for_people_and_whole_for_programs(
    cells: Any, package: Package, build: Builder, store: Store
) -> None:
    options = {f"option{number}": number for number in range(MOST + 7)}
    total = cells.total(1, options)
    build(total)
    body = "".join(f"    y += {number}\n" for number in range(LINES))
    package.edit("helpers", "    y = x + 1\n", f"    y = x\n{body}")
    changed = cells.total(1, dict.fromkeys(options, -1))
    found = explained(store, changed)
    lines, data = list(found.lines()), found.as_data()
    assert "    … and 7 more such lines; --json has all" in lines
    assert sum("option" in line for line in lines) == MOST
    diff = next(item["diff"] for item in data["code"])
    assert f"    … and {len(diff) - LINES} more lines; --json has all" in lines
    assert sum(line.startswith("      +    y +=") for line in lines) < LINES
    assert sum(line.startswith("+    y +=") for line in diff) == LINES
    assert len(data["config"]) == len(options)
    assert json.loads(json.dumps(data)) is not None


def test_names_of_inputs_are_those_that_the_session_gives(build: Builder, store: Store, log: str) -> None:
    cell = added(number(1, log), 2, log)
    session = SimpleNamespace(store=store, code=Code(), names={number(1, log).key: "one"})
    plan = Planner(store, session.code).plan([cell])
    assert explanation(cast(Session, session), plan, plan.steps[cell.key]).waiting == ("one",)
