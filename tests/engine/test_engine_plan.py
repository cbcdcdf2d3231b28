from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cells_for_tests import added, doubled, failing, failing_sum, halved, number, summed, summed_inside
from engine_helpers import Builder, Diary, Package
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engine.build import Build
from compute.engine.cell import Cell, reachable
from compute.engine.code import Code
from compute.engine.executors import Serial
from compute.engine.plan import Plan, Planner, Reason
from compute.engine.store import Store


def plan(store: Store, *wanted: Cell, forced: tuple[Cell, ...] = ()) -> Plan:
    return Planner(store, Code(), forced={cell.key for cell in forced}).plan(wanted)


def reasons(found: Plan) -> dict[str, list[str]]:
    return {step.cell.name: [str(reason) for reason in step.reasons] for step in found.to_run}


@st.composite
def graphs(draw: st.DrawFn, functions: tuple[Any, ...]) -> list[Cell]:
    """Cells each of which needs some of those before it; the last are wanted first."""
    cells: list[Cell] = []
    for index in range(draw(st.integers(1, 12))):
        parts = draw(st.lists(st.sampled_from(cells), max_size=4)) if cells else []
        function = draw(st.sampled_from(functions))
        cells.append(function(parts, index))
    return draw(st.permutations(cells))


def behind(cell: Cell) -> set[str]:
    """The keys of everything that a cell needs."""
    found: set[str] = set()
    for item in cell.inputs:
        found |= {item.key, *behind(item)}
    return found


@given(graphs((summed, summed, summed_inside)))
def test_every_plan_is_a_topological_order_of_just_what_is_needed(cells: list[Cell]) -> None:
    wanted = [cell for cell in cells if cell.function.store]
    wanted = wanted[: len(wanted) // 2 + 1]
    order = reachable(wanted)
    keys = [cell.key for cell in order]
    places = {key: place for place, key in enumerate(keys)}
    assert len(places) == len(keys)
    for cell in order:
        assert all(places[item.key] < places[cell.key] for item in cell.stored_inputs)
    kept = {cell.key for cell in cells if cell.function.store}
    needed = {cell.key for cell in wanted}.union(*(behind(cell) for cell in wanted)) & kept
    assert set(keys) == needed


@settings(max_examples=25)
@given(graphs((summed, summed, summed_inside, failing_sum)))
def test_a_build_of_any_graph_ends_with_each_cell_computed_failed_or_blocked(cells: list[Cell]) -> None:
    wanted = [cell for cell in cells if cell.function.store]
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        planner, diary = Planner(store, Code()), Diary()
        results = Build(planner.plan(wanted), planner, Serial(), diary).run()
        found = {cell.key: results.state(cell) for cell in wanted}
        for cell in wanted:
            inputs = {found[item.key] for item in cell.stored_inputs}
            expected = "failed" if cell.function is failing_sum else "fresh"
            assert found[cell.key] == (expected if inputs <= {"fresh"} else "blocked")
        assert results.whole == (set(found.values()) <= {"fresh"})
        again = planner.plan(wanted)
        assert {step.cell.key for step in again.to_run} == {key for key in found if found[key] != "fresh"}
        if results.whole and cells:
            assert all(store.load(results.records[cell.key]) == direct(cell) for cell in wanted)


def direct(cell: Cell) -> int:
    """What a cell's result must be, computed without the engine."""
    parts, offset = cell.arguments["parts"], cell.arguments["offset"]
    return sum(direct(item) for item in parts) + offset  # type: ignore


def test_a_cell_without_a_result_is_missing_and_its_dependents_wait(store: Store) -> None:
    found = plan(store, doubled(number(1, "log"), "log"))
    assert reasons(found) == {
        "number/1": ["missing"],
        "doubled/1": ["missing", "input will run: number/1"],
    }


def test_inputs_stand_in_a_plan_in_the_order_of_the_arguments(store: Store) -> None:
    numbers = [number(x, "log") for x in (3, 1, 2)]
    found = plan(store, summed([doubled(numbers[0], "log"), *numbers], 0))
    names = [step.cell.name for step in found.steps.values()]
    assert names[:4] == ["number/3", "doubled/3", "number/1", "number/2"]


def test_many_inputs_that_will_run_are_named_in_part(store: Store) -> None:
    cell = summed([number(x, "log") for x in range(5)], 0)
    assert reasons(plan(store, cell))[cell.name][-1] == "input will run: number/0, number/1, number/2 …"


def test_a_built_cell_is_fresh_and_has_its_record(store: Store, build: Builder, log: str) -> None:
    cell = doubled(number(1, log), log)
    results = build(cell)
    found = plan(store, cell)
    assert found.to_run == []
    assert found.fresh[cell.key].digest == results.records[cell.key].digest
    assert number(2, log).key not in found.fresh


def test_a_forced_cell_will_run_and_what_depends_on_it_may(store: Store, build: Builder, log: str) -> None:
    one = number(1, log)
    cell = doubled(one, log)
    build(cell)
    assert reasons(plan(store, cell, forced=(one,))) == {
        "number/1": ["forced"],
        "doubled/1": ["input will run: number/1"],
    }


def test_a_cell_that_failed_says_how_and_how_often(store: Store, build: Builder, log: str) -> None:
    cell = failing(1, log)
    build(cell)
    build(cell)
    assert reasons(plan(store, cell)) == {cell.name: ["failed before: ValueError: not mended yet (attempt 2)"]}


def test_changed_code_is_named(store: Store, build: Builder, package: Package) -> None:
    package.write(
        "cells",
        "from compute.engine.cell import cell\nfrom .a import f\n@cell()\ndef total(x):\n    return f(x)\n",
    )
    package.write("a", "Y = 1\ndef f(x):\n    return x + Y\n")
    cell = package.load().total(1)
    build(cell)
    package.edit("a", "Y = 1", "Y = 2")
    assert reasons(plan(store, cell)) == {"total": [f"code changed: {package.name}.a:Y"]}
    package.edit("a", "Y = 2", "Y = 1")
    assert reasons(plan(store, cell)) == {}


def test_a_changed_input_is_named_with_both_digests(store: Store, build: Builder, package: Package, log: str) -> None:
    package.write(
        "cells",
        """
            from compute.engine.cell import cell

            @cell()
            def start():
                return 1

            @cell()
            def total(x):
                return 0
        """,
    )
    cells = package.load()
    first = cells.start()
    total = cells.total(first)
    old = build(total).records[first.key]
    package.edit("cells", "return 1", "return 2")
    cells.start.function.__code__ = (lambda: 2).__code__
    new = build(first).records[first.key]
    assert reasons(plan(store, total)) == {
        "total": [f"input changed: {first.key[:12]} {old.digest[:12]} → {new.digest[:12]}"]
    }


def test_the_reasons_are_against_the_nearest_result(store: Store, build: Builder, package: Package) -> None:
    source = "from compute.engine.cell import cell\nA = 1\nB = 1\n@cell()\ndef total():\n    return A + B\n"
    package.write("cells", source)
    cell = package.load().total()
    build(cell)
    package.edit("cells", "A = 1", "A = 2")
    build(cell)
    package.edit("cells", "B = 1", "B = 2")
    assert reasons(plan(store, cell)) == {"total": [f"code changed: {package.name}.cells:B"]}


def test_a_damaged_record_makes_its_cell_missing(store: Store, build: Builder, log: str) -> None:
    cell = number(1, log)
    record = build(cell).records[cell.key]
    (store.folder(record.key, record.trace.id) / "record.json").write_text("{", encoding="utf-8")
    assert reasons(plan(store, cell)) == {"number/1": ["missing"]}


def test_a_reason_is_one_line() -> None:
    assert str(Reason("forced")) == "forced"
    assert str(Reason("code changed", "a:b")) == "code changed: a:b"


PLANNING = """
    import sys, tempfile
    from pathlib import Path
    from cells_for_tests import added, doubled, number, summed
    from compute.engine.build import fresh_results
    from compute.engine.code import Code
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    cell = summed([doubled(number(1, "log"), "log")], 1)
    store = Store(Path(tempfile.mkdtemp()))
    plan = Planner(store, Code()).plan([cell])
    fresh_results(plan, store)
    heavy = {"torch", "transformers", "pandas", "pyarrow", "numpy", "safetensors", "altair", "joblib"}
    print(len(plan.to_run), sorted(heavy & set(sys.modules)))
"""


def test_planning_imports_nothing_heavy(in_another_process: Callable[..., str]) -> None:
    assert in_another_process(PLANNING) == "3 []"


def test_the_states_of_cells_that_no_build_saw_are_missing(build: Builder, log: str) -> None:
    cell, other = number(1, log), number(2, log)
    assert [build(cell).state(item) for item in (cell, other)] == ["fresh", "missing"]


@pytest.mark.parametrize("cell", [added(halved(number(1, "log"), "log"), 1, "log")])
def test_inputs_that_are_not_kept_are_no_steps(store: Store, cell: Cell) -> None:
    assert [step.cell.name for step in plan(store, cell).steps.values()] == ["number/1", "added/1+1"]
