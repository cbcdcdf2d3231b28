"""Tables of a page: accessible HTML that the reader can sort and filter, and the same rows as CSV."""

from __future__ import annotations

import csv as csv_format
import html as html_format
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.locales import LOCALES
from compute.report import formats
from compute.report.absence import Former
from compute.study import Column

Row = Mapping[str, Any]
FILTER_FROM = 10
"""Number of rows from which a table offers a field to filter them."""

MARK = "†"
"""Stands by a value that is not fresh."""
_NOTE = f' <span class="rc-former">{MARK} last good value, of other code or inputs; it counts nowhere</span>'

_NUMERIC: Mapping[str, int] = {"percent": 1, "points": 1, "number": 2, "p": 3, "seconds": 0, "bytes": 0}
_BADGES: Mapping[str, Sequence[str]] = {
    "verdict": ("holds", "does not hold", "cannot be told"),
    "state": ("fresh", "stale", "failed", "blocked", "missing", "running", "accepted"),
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as a page shows it: rows and columns, with a name, a caption and the address of its CSV file.

    *key* is unique on the page and becomes the anchor ``table-<key>``; *row_id* names the entry of a row that
    is its anchor, to which numbers elsewhere can lead; *csv_href* and *json_href* are relative to the page.
    """

    key: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str
    csv_href: str = ""
    json_href: str = ""
    row_id: str | None = None
    empty: str = "No rows."

    @property
    def html(self) -> str:
        """Return the markup of the table."""
        return html(
            self.rows,
            self.columns,
            key=self.key,
            caption=self.caption,
            csv_href=self.csv_href,
            json_href=self.json_href,
            row_id=self.row_id,
            empty=self.empty,
        )

    @property
    def csv(self) -> str:
        """Return the rows as CSV, unrounded."""
        return csv(self.rows, self.columns)


def html(
    rows: Any,
    columns: Sequence[Column],
    *,
    key: str,
    caption: str,
    csv_href: str = "",
    json_href: str = "",
    row_id: str | None = None,
    empty: str = "No rows.",
) -> str:
    """Return the markup of a table of *rows*, mappings or a data frame, free of blank lines.

    The first column holds the row headings. The script of the site turns the column headings into buttons
    that sort; without it the table is plain and complete. Raw values stand in ``data-sort``.
    """
    records = _records(rows)
    if not records:
        return f'<p class="rc-empty" id="table-{_escape(key)}">{_escape(empty)}</p>'
    best = {column.name: _best(records, column) for column in columns}
    former = any(isinstance(record.get(column.name), Former) for record in records for column in columns)
    note = _NOTE if former else ""
    body = "\n".join(_row(record, columns, best, row_id) for record in records)
    mark = ' data-filter="Filter rows"' if len(records) >= FILTER_FROM else ""
    download = "".join(
        f' <a class="rc-download" href="{_escape(href)}" download>{kind}</a>'
        for kind, href in (("CSV", csv_href), ("JSON", json_href))
        if href
    )
    name = f"table-{_escape(key)}"
    return (
        f'<figure class="rc-table" id="{name}"{mark} data-search-exclude>\n'
        f'<figcaption><span id="{name}-caption">{_escape(caption)}</span>{download}{note}</figcaption>\n'
        f'<div class="rc-table__scroll" tabindex="0" role="region" aria-labelledby="{name}-caption">\n'
        f'<table class="rc-grid" aria-labelledby="{name}-caption">\n'
        f"<thead><tr>{''.join(map(_heading, columns))}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n</figure>"
    )


def csv(rows: Any, columns: Sequence[Column]) -> str:
    """Return *rows* as CSV with the columns' names as header: raw values, nothing rounded, LF line ends."""
    out = io.StringIO()
    writer = csv_format.writer(out, lineterminator="\n")
    names = [name for column in columns for name in (column.name, column.low, column.high) if name]
    writer.writerow(names)
    for record in _records(rows):
        writer.writerow([_raw(record[name]) for name in names])
    return out.getvalue()


def _records(rows: Any) -> list[Row]:
    """Return the rows of a data frame, or of any iterable of mappings, as a list."""
    return list(rows.to_dict("records") if hasattr(rows, "to_dict") else rows)


def _raw(value: object) -> object:
    if isinstance(value, Former):
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if formats.is_absent(value) else value


def _escape(value: object) -> str:
    return html_format.escape(str(value))


def _heading(column: Column) -> str:
    note = f' title="{_escape(column.note)}"' if column.note else ""
    kind = "number" if column.is_numeric else "text"
    return f'<th scope="col" class="rc-{kind}" data-kind="{kind}"{note}>{_escape(column.title)}</th>'


def _row(record: Row, columns: Sequence[Column], best: Mapping[str, object], row_id: str | None) -> str:
    anchor = f' id="{_escape(record[row_id])}"' if row_id else ""
    cells = (_cell(record, column, best[column.name], index) for index, column in enumerate(columns))
    return f"<tr{anchor}>{''.join(cells)}</tr>"


def _cell(record: Row, column: Column, best: object, index: int) -> str:
    value = record[column.name]
    if isinstance(value, Former):
        return _former(record, column, value, index)
    absent = formats.is_absent(value)
    shown = f'<span class="rc-absent">{formats.ABSENT}</span>' if absent else _WRITERS[column.kind](value, column)
    if best is not None and not absent and value == best:
        shown = f"<strong>{shown}</strong>"
    target = record.get(column.link) if column.link else None
    if target and not absent and not formats.is_absent(target):
        shown = f'<a class="cell" href="{_escape(target)}">{shown}</a>'
    if not absent and column.low:
        shown += _interval(record[column.low], record[column.high], column)
    return _tagged(shown, column, index, _sort_value(value, column))


def _tagged(shown: str, column: Column, index: int, sort: object) -> str:
    tag, scope = ("th", ' scope="row"') if index == 0 else ("td", "")
    look = "rc-number" if column.is_numeric else "rc-text"
    return f'<{tag}{scope} class="{look}" data-sort="{_escape(sort)}">{shown}</{tag}>'


def _former(record: Row, column: Column, former: Former, index: int) -> str:
    """Write a value that is not fresh as one writes any other, muted and marked; it sorts as nothing."""
    absent = formats.is_absent(former.value)
    shown = formats.ABSENT if absent else _WRITERS[column.kind](former.value, column)
    if target := record.get(column.link) if column.link else None:
        shown = f'<a class="cell" href="{_escape(target)}">{shown}</a>'
    shown += f"<sup>{MARK}</sup>"
    if not absent and column.low:
        low, high = (
            item.value if isinstance(item, Former) else item for item in (record[column.low], record[column.high])
        )
        shown += _interval(low, high, column)
    return _tagged(f'<span class="rc-former" title="{_escape(former)}">{shown}</span>', column, index, "")


def _interval(low: object, high: object, column: Column) -> str:
    """Write the bounds of an interval beside the value, in its unit but without it."""
    scale = 100 if column.kind == "percent" else 1
    digits = _NUMERIC[column.kind] if column.digits is None else column.digits
    bounds = [formats.number(scale * float(bound), digits) for bound in (low, high)]  # type: ignore[arg-type]
    return f' <span class="rc-interval">[{", ".join(bounds)}]</span>'


def _sort_value(value: object, column: Column) -> object:
    if column.kind == "locale" and value in LOCALES:
        return LOCALES[str(value)].language
    if column.kind == "bool" and not formats.is_absent(value):
        return "yes" if value else "no"
    if column.kind in _BADGES and value in _BADGES[column.kind]:
        return _BADGES[column.kind].index(str(value))
    return repr(float(value)) if column.is_numeric and not formats.is_absent(value) else _raw(value)  # type: ignore[arg-type]


def _best(records: Iterable[Row], column: Column) -> object:
    """Return the value of the column to set in bold, or None."""
    if column.best is None:
        return None
    found = [record[column.name] for record in records if not isinstance(record[column.name], Former)]
    values = [value for value in found if not formats.is_absent(value)]
    if len(values) < 2:
        return None
    return max(values) if column.best == "highest" else min(values)


def badge(word: str) -> str:
    """Return the badge of a verdict or of the state of a cell: a pill whose colour and sign say the same."""
    look = re.sub(r"[^a-z]+", "-", word.lower()).strip("-")
    return f'<span class="rc-badge rc-badge--{look}">{formats.text(word)}</span>'


def _locale(value: object, _: Column) -> str:
    code = str(value)
    name = f"{_escape(LOCALES[code].language)} " if code in LOCALES else ""
    return f'{name}<span class="rc-code">{_escape(code)}</span>'


def _digits(write: Callable[[object, int], str]) -> Callable[[object, Column], str]:
    def written(value: object, column: Column) -> str:
        return write(value, _NUMERIC[column.kind] if column.digits is None else column.digits)

    return written


_WRITERS: Mapping[str, Callable[[Any, Column], str]] = {
    "text": lambda value, _: _escape(value),
    "code": lambda value, _: f"<code>{_escape(value)}</code>",
    "locale": _locale,
    "percent": _digits(formats.percent),
    "points": _digits(formats.points),
    "number": _digits(formats.number),
    "locales": lambda value, _: ", ".join(f'<span class="rc-code">{_escape(code)}</span>' for code in value),
    "p": lambda value, _: "&lt; 0.001" if value < 0.001 else formats.number(value, 3),
    "seconds": lambda value, _: formats.seconds(value),
    "bytes": lambda value, _: formats.size(value),
    "bool": lambda value, _: "yes" if value else "no",
    "verdict": lambda value, _: badge(str(value)),
    "state": lambda value, _: badge(str(value)),
}
