"""Results of cells → rows with plain values, and for each value the cell that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compute.engine.build import Results
from compute.engine.cell import Cell
from compute.engine.store import Store
from compute.study import OfResults, Rows

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Absent:
    """What stands for the result of a cell that has none."""

    cell: Cell
    state: str
    """failed, blocked or missing"""


@dataclass(frozen=True)
class AssembledRow:
    """One row: its values by field, and the cells that they come from."""

    values: Mapping[str, Any]
    cells: Mapping[str, Cell]
    absent: tuple[Absent, ...]


@dataclass(frozen=True)
class Assembled:
    """One result of a study, ready to be shown."""

    rows: tuple[AssembledRow, ...]

    @property
    def absent(self) -> list[Absent]:
        """What is lacking, each cell once."""
        return list({item.cell.key: item for row in self.rows for item in row.absent}.values())

    @cached_property
    def frame(self) -> DataFrame:
        """The rows that lack nothing, as a data frame."""
        import pandas as pd

        return pd.DataFrame([row.values for row in self.rows if not row.absent])


class Assembler:
    """Reads results from the store, each at most once."""

    def __init__(self, store: Store, results: Results) -> None:
        self.store = store
        self.results = results
        self._values: dict[str, Any] = {}

    def assemble(self, rows: Rows | Cell) -> Assembled:
        """Put results in place of cells; a cell in place of all rows gives its own."""
        if isinstance(rows, Cell):
            value = self.value(rows)
            if isinstance(value, Absent):
                return Assembled((AssembledRow({}, {}, (value,)),))
            return Assembled(tuple(AssembledRow(row, dict.fromkeys(row, rows), ()) for row in value))
        return Assembled(tuple(self._row(row) for row in rows))

    def value(self, cell: Cell) -> Any:
        """Return a cell's result, or Absent."""
        if cell.key not in self._values:
            record = self.results.records.get(cell.key)
            self._values[cell.key] = self.store.load(record) if record else Absent(cell, self.results.state(cell))
        return self._values[cell.key]

    def _row(self, row: Mapping[str, object]) -> AssembledRow:
        values: dict[str, Any] = {}
        cells: dict[str, Cell] = {}
        absent: list[Absent] = []
        for name, item in row.items():
            value = self.value(item) if isinstance(item, Cell) else item
            if isinstance(value, Absent):
                absent.append(value)
                continue
            spread = _spread(name, value) if isinstance(item, Cell) else {name: value}
            values |= spread
            cells |= dict.fromkeys(spread, item) if isinstance(item, Cell) else {}
        return AssembledRow(values, cells, tuple(absent))


def _spread(name: str, value: Any) -> dict[str, Any]:
    """Give a mapping's plain values fields of their own; per-example arrays stay in the store."""
    if not isinstance(value, Mapping):
        return {name: value}
    plain = {field: item for field, item in value.items() if item is None or isinstance(item, bool | int | float | str)}
    return {f"{name}_{field}": item for field, item in plain.items()}


def call(item: OfResults, results: Mapping[str, Assembled]) -> Any:
    """Call a figure or claim with the data frames that its parameters name."""
    return item.function(**{name: results[name].frame for name in item.needs})
