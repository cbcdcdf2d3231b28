"""The schedule hands every cell out once, after its inputs, the most urgent first."""

from __future__ import annotations

from typing import Any

from cells_for_tests import gathered
from cells_that_share import exclusive, ordinary
from hypothesis import given
from hypothesis import strategies as st

from compute.engine.cell import Cell
from compute.engine.schedule import LOOK, Schedule, paths


@st.composite
def graphs(draw: st.DrawFn) -> list[Cell]:
    """Draw cells, each after its inputs."""
    cells: list[Cell] = []
    for number in range(draw(st.integers(1, 12))):
        chosen = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        cells.append(gathered((number, [cells[index] for index in sorted(chosen)])))
    return cells


def waiting(cells: list[Cell], seconds: Any) -> Schedule:
    schedule = Schedule(cells, seconds)
    for cell in cells:
        schedule.add(cell, [item.key for item in cell.stored_inputs])
    return schedule


def nothing_known(cell: Cell) -> float | None:
    return None


@given(graphs(), st.data())
def test_every_cell_is_handed_out_once_and_after_its_inputs(cells: list[Cell], data: st.DataObject) -> None:
    seconds = {cell.key: data.draw(st.none() | st.floats(0, 100)) for cell in cells}
    schedule = waiting(cells, lambda cell: seconds[cell.key])
    order: list[str] = []
    running: list[Cell] = []
    while schedule or running:
        cell = schedule.take() if not running or data.draw(st.booleans()) else None
        if cell:
            assert {item.key for item in cell.stored_inputs} <= set(order)
            running.append(cell)
        else:
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            order.append(done.key)
            schedule.arrived(done.key)
    assert sorted(order) == sorted(cell.key for cell in cells)


@given(graphs(), st.data())
def test_what_needs_a_lost_result_never_runs_and_all_else_does(cells: list[Cell], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(cells))
    schedule = waiting(cells, nothing_known)
    ran, gone = set(), {lost.key}
    while cell := schedule.take():
        ran.add(cell.key)
        if cell.key != lost.key:
            schedule.arrived(cell.key)
            continue
        stack = [cell]
        while stack:
            fallen = schedule.lost(stack.pop().key)
            gone |= {item.key for item in fallen}
            stack += fallen
    needing = {lost.key}
    for cell in cells:
        if needing & {item.key for item in cell.stored_inputs}:
            needing.add(cell.key)
    assert gone == needing
    assert ran == {cell.key for cell in cells} - needing | {lost.key}
    assert not schedule


@given(graphs(), st.data())
def test_a_path_is_the_cell_and_the_longest_of_those_behind_it(cells: list[Cell], data: st.DataObject) -> None:
    seconds = {cell.key: float(data.draw(st.integers(0, 100))) for cell in cells}
    found = paths(cells, lambda cell: seconds[cell.key])
    for cell in cells:
        behind = [found[other.key] for other in cells if cell in other.stored_inputs]
        assert found[cell.key] == seconds[cell.key] + max(behind, default=0.0)


def test_the_longest_way_to_the_end_comes_first_then_the_order_of_the_plan() -> None:
    short, same, start = gathered("short"), gathered("same"), gathered("start")
    end = gathered(["end", start])
    took = {short.key: 5.0, same.key: 5.0, start.key: 1.0, end.key: 7.0}
    schedule = waiting([short, same, start, end], lambda cell: took[cell.key])
    assert [schedule.take() for _ in range(3)] == [start, short, same]
    schedule.arrived(start.key)
    assert schedule.take() == end
    assert not schedule


def test_what_was_never_seen_is_taken_for_usual() -> None:
    known, unknown = gathered("known"), gathered("unknown")
    assert paths([known, unknown], lambda cell: 4.0 if cell == known else None)[unknown.key] == 4.0
    assert paths([unknown], nothing_known)[unknown.key] == 1.0


def test_many_that_wait_for_one_device_do_not_hide_the_rest() -> None:
    scarce = [exclusive(x, "") for x in range(5 * LOOK)]
    plain = ordinary(1)
    schedule = waiting([*scarce, plain], nothing_known)
    assert schedule.take(lambda cell: not cell.function.resources) == plain
    assert schedule.take(lambda cell: not cell.function.resources) is None
    assert [schedule.take() for _ in scarce] == scarce
    assert not schedule


def test_one_that_does_not_fit_lets_smaller_ones_pass_and_keeps_its_place() -> None:
    big, small, least = gathered("big"), gathered("small"), gathered("least")
    took = {big.key: 3.0, small.key: 2.0, least.key: 1.0}
    schedule = waiting([least, small, big], lambda cell: took[cell.key])
    assert schedule.take(lambda cell: cell != big) == small
    assert [schedule.take(), schedule.take()] == [big, least]
