"""A study's tables made ready for the page: values in their units, links to cells, published rows beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compute.engine.cell import Cell
from compute.report import tables
from compute.report.absence import Former
from compute.report.assemble import Assembled, AssembledRow
from compute.study import Column, Table

PUBLISHED = "published_"


def of_study(
    table: Table, assembled: Assembled, published: Mapping[str, Any], link: Callable[[Cell], str]
) -> tables.Table:
    """Return *table* with the rows of *assembled*, whose numbers lead where *link* says."""
    beside = _index(published.get(table.published, ()), table.on)
    whole_first = sorted(assembled.rows, key=lambda row: bool(row.absent))
    rows = [_row(row, table, beside, link) for row in whole_first if row.values or row.former]
    columns = [dataclasses.replace(column, link=_href(column.name)) for column in table.columns]
    return tables.Table(
        key=table.name,
        columns=columns,
        rows=rows,
        caption=table.title,
        csv_href=f"data/{table.name}.csv",
        json_href=f"data/{table.name}.json" if table.json else "",
    )


def _index(rows: Sequence[Mapping[str, Any]], on: Sequence[str]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    return {tuple(row[name] for name in on): row for row in rows}


def _row(
    row: AssembledRow,
    table: Table,
    beside: Mapping[tuple[Any, ...], Mapping[str, Any]],
    link: Callable[[Cell], str],
) -> dict[str, Any]:
    """Gather the fields that the columns name; what a row lacks is absent, not an error."""
    plain = {name: former.value for name, former in row.former.items()} | dict(row.values)
    stated = beside.get(tuple(plain.get(name) for name in table.on), {})
    values = {**row.former, **row.values, **{f"{PUBLISHED}{name}": value for name, value in stated.items()}}
    shown: dict[str, Any] = {}
    for column in table.columns:
        for name in filter(None, (column.name, column.low, column.high)):
            shown[name] = _in_unit(values.get(name), name, column)
        shown[_href(column.name)] = link(row.cells[column.name]) if column.name in row.cells else None
    return shown


def _in_unit(value: Any, name: str, column: Column) -> Any:
    """Bring results to percentage points, and published percentages to shares."""
    if isinstance(value, Former):
        return dataclasses.replace(value, value=_in_unit(value.value, name, column))
    if value is None or not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if name.startswith(PUBLISHED):
        return value / 100 if column.kind == "percent" else value
    return 100 * value if column.kind == "points" else value


def _href(name: str) -> str:
    return f"{name}__href"
