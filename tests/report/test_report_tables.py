from __future__ import annotations

import csv
import io
import math
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.report import tables
from compute.study import Column

COLUMNS = [
    Column(name="locale", title="Target", kind="locale"),
    Column(name="score", title="Accuracy", kind="percent", link="href", best="highest", digits=2),
    Column(name="gain", title="Gain", kind="points", digits=2),
]
ROWS = [
    {"locale": "sw-KE", "score": 0.6654, "gain": -0.1, "href": "cells/merge/#k1"},
    {"locale": "af-ZA", "score": 0.7, "gain": 0.25, "href": None},
    {"locale": "vi-VN", "score": None, "gain": math.nan, "href": "cells/merge/#k3"},
]


class Reader(HTMLParser):
    """Collects the cells of the body, with their attributes and text, and checks that tags are balanced."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[dict[str, Any]]] = []
        self.links: list[str] = []
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        found = dict(attributes)
        if tag == "tr" and "tbody" in self.open:
            self.rows.append([])
        if tag in {"td", "th"} and "tbody" in self.open:
            self.rows[-1].append({**found, "tag": tag, "text": "", "strong": False})
        if tag == "a":
            self.links.append(found["href"] or "")
        if tag == "strong":
            self.rows[-1][-1]["strong"] = True

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "tbody" in self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1]["text"] += data


def read(rows: Any, columns: list[Column] = COLUMNS, **more: Any) -> Reader:
    return Reader(tables.html(rows, columns, key="t", caption="A caption", **more))


def test_each_value_is_written_for_the_reader_and_kept_raw_for_sorting() -> None:
    row = read(ROWS).rows[0]
    assert [cell["text"] for cell in row] == ["Swahili sw-KE", "66.54 %", "\u22120.10 pts"]
    assert [cell["data-sort"] for cell in row] == ["Swahili", "0.6654", "-0.1"]


def test_what_is_absent_is_a_dash_that_sorts_as_nothing_and_leads_nowhere() -> None:
    table = read(ROWS)
    assert [(cell["text"], cell["data-sort"]) for cell in table.rows[2][1:]] == [("—", ""), ("—", "")]
    assert "cells/merge/#k3" not in table.links


def test_a_number_leads_to_its_cell_only_where_there_is_one() -> None:
    assert read(ROWS).links == ["cells/merge/#k1"]


def test_the_best_value_of_a_column_is_bold_and_no_other() -> None:
    assert [row[1]["strong"] for row in read(ROWS).rows] == [False, True, False]


def test_the_first_column_heads_its_row() -> None:
    assert [cell["tag"] for cell in read(ROWS).rows[0]] == ["th", "td", "td"]


def test_a_data_frame_gives_the_same_table_as_its_rows() -> None:
    assert tables.html(pd.DataFrame(ROWS), COLUMNS, key="t", caption="c") == tables.html(
        ROWS, COLUMNS, key="t", caption="c"
    )


def test_a_row_has_the_anchor_that_numbers_lead_to() -> None:
    assert '<tr id="sw-KE">' in tables.html(ROWS, COLUMNS, key="t", caption="c", row_id="locale")


def test_a_table_without_rows_says_so() -> None:
    assert tables.html([], COLUMNS, key="t", caption="c", empty="Nothing yet.") == (
        '<p class="rc-empty" id="table-t">Nothing yet.</p>'
    )


def test_only_a_long_table_offers_a_filter() -> None:
    def markup(count: int) -> str:
        return tables.html(ROWS[:1] * count, COLUMNS, key="t", caption="c")

    assert "data-filter" not in markup(tables.FILTER_FROM - 1)
    assert "data-filter" in markup(tables.FILTER_FROM)


def test_verdicts_become_badges_that_sort_in_the_order_of_their_worth() -> None:
    words = ["cannot be told", "does not hold", "holds"]
    table = read([{"verdict": word} for word in words], [Column(name="verdict", title="Verdict", kind="verdict")])
    assert [row[0]["text"] for row in table.rows] == words
    assert [row[0]["data-sort"] for row in table.rows] == ["2", "1", "0"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_no_text_can_break_out_of_its_cell(text: str) -> None:
    row = {"a": text, "href": text or "x"}
    table = read([row, row], [Column(name="a", title=text, link="href")], csv_href=text)
    assert len(table.rows) == 2
    assert table.rows[0][0]["text"] == text
    assert table.rows[0][0]["data-sort"] == text


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r"))


@given(st.lists(st.tuples(LINES, st.none() | st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_csv_gives_back_every_value_unrounded(rows: list[tuple[str, float | None]]) -> None:
    columns = [Column(name="a", title="A"), Column(name="b", title="B", kind="percent")]
    written = tables.csv([{"a": a, "b": b} for a, b in rows], columns)
    back = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [(row["a"], float(row["b"]) if row["b"] else None) for row in back] == rows


def test_csv_has_unix_line_ends_and_the_names_of_the_columns() -> None:
    assert tables.csv(ROWS, COLUMNS) == "locale,score,gain\nsw-KE,0.6654,-0.1\naf-ZA,0.7,0.25\nvi-VN,,\n"


@pytest.mark.parametrize("kind", ["percent", "points", "number", "seconds", "bytes"])
def test_numbers_stand_flush_right_and_sort_by_size(kind: Any) -> None:
    columns = [Column(name="a", title="A"), Column(name="b", title="B", kind=kind)]
    markup = tables.html([{"a": "x", "b": 1}], columns, key="t", caption="c")
    assert '<th scope="col" class="rc-number" data-kind="number">B</th>' in markup
    assert '<td class="rc-number" data-sort="1.0">' in markup
