"""What cells took is told from the results that were, their own first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cells_for_tests import doubled, number, sign
from engine_helpers import Builder

from compute.engine import files
from compute.engine.cell import Cell
from compute.engine.history import History
from compute.engine.record import Cost
from compute.engine.store import Store


def keep(store: Store, cell: Cell, seconds: float, memory: int, source: str = "") -> None:
    """Rewrite the records of a cell as if it had taken so much; with a *source*, under the trace of other code."""
    (record,) = store.others(cell.key)[-1:]
    trace = replace(record.trace, code={"other": source}, id="") if source else record.trace
    cost = Cost(seconds, seconds, memory)
    store.commit(replace(record, trace=trace, cost=cost), store.load(record), anew=True)


def test_a_cell_is_expected_to_take_what_it_took_and_others_what_their_function_does(build: Builder, log: str) -> None:
    one, two, three = (number(x, log) for x in (1, 2, 3))
    build(one, two)
    keep(build.store, one, 2.0, 100)
    keep(build.store, two, 4.0, 300)
    history = History(Store(build.store.root))
    assert (history.seconds(one), history.memory(one)) == (2.0, 100)
    assert (history.seconds(three), history.memory(three)) == (3.0, 300), "the mean, and the most memory"
    assert (history.seconds(sign(1, log)), history.memory(sign(1, log))) == (None, None)


def test_the_newest_result_of_a_key_counts(build: Builder, log: str) -> None:
    one = number(1, log)
    build(one)
    keep(build.store, one, 2.0, 100)
    keep(build.store, one, 8.0, 50, source="newer")
    history = History(Store(build.store.root))
    assert (history.seconds(one), history.memory(one)) == (8.0, 50)


def test_the_index_is_enough(build: Builder, log: str, tmp_path: Path) -> None:
    cells = [doubled(x, log) for x in range(3)]
    build(*cells)
    index = tmp_path / "index.json"
    remembered = files.Remembered(index)
    assert History(Store(build.store.root, remembered)).seconds(cells[0]) is not None, "read once from the records"
    remembered.save()
    for record in build.store.root.glob("results/*/*/*/record.json"):
        record.unlink()
    assert History(Store(build.store.root, files.Remembered(index))).seconds(cells[0]) is not None


def test_a_damaged_record_is_no_history(build: Builder, log: str) -> None:
    cells = [number(x, log) for x in range(2)]
    build(*cells)
    keep(build.store, cells[1], 6.0, 10)
    damaged = build.store.others(cells[0].key)[0]
    (build.store.folder(damaged.key, damaged.trace.id) / "record.json").write_text("{")
    assert History(Store(build.store.root)).seconds(number(7, log)) == 6.0


def test_an_empty_store_has_none(store: Store, log: str) -> None:
    assert History(store).seconds(number(1, log)) is None
