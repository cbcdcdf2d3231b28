"""One value a cell, sums of ten cells each, and the sum of the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compute.studies.bench.cells import measured, summed

from compute.engine.cell import Cell
from compute.study import Column, Rows, Study, Table


@dataclass(frozen=True)
class Config:
    """What is measured, and the names of the values that are summed."""

    values: Mapping[str, int]
    groups: Mapping[str, tuple[str, ...]]


def results(config: Config) -> Mapping[str, Rows | Cell]:
    """Return the sums and their sum."""
    cells = {name: measured(value) for name, value in config.values.items()}
    sums = {group: summed(group, [cells[name] for name in names]) for group, names in config.groups.items()}
    total = summed("total", list(sums.values()))
    return {
        "sums": [{"name": group, "sum": cell} for group, cell in sums.items()],
        "totals": [{"name": "total", "sum": total}],
    }


def _table(rows: str, title: str) -> Table:
    return Table(rows, rows, title, (Column("name", "Name"), Column("sum", "Sum", "number", digits=0)))


study = Study(
    title="Benchmark",
    summary="Cells that do next to nothing.",
    config=Config,
    results=results,
    tables=(_table("sums", "The sums"), _table("totals", "Their sum")),
    folder=Path(__file__).parent,
)
