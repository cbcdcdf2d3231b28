"""Results of cells → rows with plain values, and for each value the cell that it comes from.

A value that is not fresh stands apart, as a `Former`: no data frame, and so no figure and no claim, has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compute.engine.build import Results
from compute.engine.cell import Cell
from compute.engine.store import Store
from compute.report.absence import Absences, Absent, Former
from compute.study import OfResults, Rows

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class AssembledRow:
    """One row: its values by field, and the cells that they come from."""

    values: Mapping[str, Any]
    cells: Mapping[str, Cell]
    absent: tuple[Absent, ...] = ()
    former: Mapping[str, Former] = field(default_factory=dict)
    """For fields that lack a fresh value, the last good one."""
    sources: tuple[Cell, ...] = ()
    """All cells of the row, those that gave it no field included."""


@dataclass(frozen=True)
class Assembled:
    """One result of a study, ready to be shown."""

    rows: tuple[AssembledRow, ...]

    @property
    def absent(self) -> list[Absent]:
        """What is lacking, each cell once."""
        return list({item.cell.key: item for row in self.rows for item in row.absent}.values())

    @property
    def sources(self) -> list[Cell]:
        """The cells that the rows are made from, each once."""
        return list({cell.key: cell for row in self.rows for cell in row.sources}.values())

    @cached_property
    def frame(self) -> DataFrame:
        """The rows that lack nothing, as a data frame."""
        import pandas as pd

        return pd.DataFrame([row.values for row in self.rows if not row.absent])


class Assembler:
    """Reads results from the store, each at most once."""

    def __init__(self, store: Store, results: Results, absences: Absences) -> None:
        self.store = store
        self.results = results
        self.absences = absences
        self._values: dict[str, Any] = {}

    def assemble(self, rows: Rows | Cell) -> Assembled:
        """Put results in place of cells; a cell in place of all rows gives its own."""
        return Assembled(tuple(self._of_cell(rows) if isinstance(rows, Cell) else map(self._row, rows)))

    def value(self, cell: Cell) -> Any:
        """Return a cell's result, or Absent."""
        if cell.key not in self._values:
            record = self.results.records.get(cell.key)
            self._values[cell.key] = self.store.load(record) if record else self.absences.of(cell)
        return self._values[cell.key]

    def _of_cell(self, cell: Cell) -> list[AssembledRow]:
        value = self.value(cell)
        if not isinstance(value, Absent):
            return [AssembledRow(row, dict.fromkeys(row, cell), sources=(cell,)) for row in value]
        good = value.last_good
        rows = [{name: replace(good, value=item) for name, item in row.items()} for row in good.value] if good else [{}]
        return [AssembledRow({}, dict.fromkeys(row, cell), (value,), row, (cell,)) for row in rows]

    def _row(self, row: Mapping[str, object]) -> AssembledRow:
        values: dict[str, Any] = {}
        cells: dict[str, Cell] = {}
        former: dict[str, Former] = {}
        for name, item in row.items():
            value = self.value(item) if isinstance(item, Cell) else item
            if isinstance(value, Absent):
                spread = _formerly(name, value.last_good)
                former |= spread
            else:
                spread = _spread(name, value) if isinstance(item, Cell) else {name: value}
                values |= spread
            cells |= dict.fromkeys(spread, item) if isinstance(item, Cell) else {}
        sources = tuple(item for item in row.values() if isinstance(item, Cell))
        absent = tuple(value for item in sources if isinstance(value := self.value(item), Absent))
        return AssembledRow(values, cells, absent, former, sources)


def _formerly(name: str, good: Former | None) -> dict[str, Any]:
    return {field: replace(good, value=item) for field, item in _spread(name, good.value).items()} if good else {}


def _spread(name: str, value: Any) -> dict[str, Any]:
    """Give a mapping's plain values fields of their own; per-example arrays stay in the store."""
    if not isinstance(value, Mapping):
        return {name: value}
    plain = {field: item for field, item in value.items() if item is None or isinstance(item, bool | int | float | str)}
    return {f"{name}_{field}": item for field, item in plain.items()}


def call(item: OfResults, results: Mapping[str, Assembled]) -> Any:
    """Call a figure or claim with the data frames that its parameters name."""
    return item.function(**{name: results[name].frame for name in item.needs})
