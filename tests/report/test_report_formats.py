from __future__ import annotations

import html
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.report import formats


def test_a_share_is_written_as_a_percentage() -> None:
    assert formats.percent(0.6654) == "66.54 %"
    assert formats.percent(0.6654, 1) == "66.5 %"


def test_a_difference_in_points_has_its_sign_and_a_true_minus() -> None:
    assert formats.points(0.1) == "+0.10 pts"
    assert formats.points(-0.1) == "\u22120.10 pts"


@pytest.mark.parametrize("nothing", [0, 0.0, -0.0, 0.001, -0.001])
def test_what_rounds_to_zero_has_no_sign(nothing: float) -> None:
    assert formats.points(nothing) == "0.00 pts"
    assert formats.number(nothing) == "0.00"


@pytest.mark.parametrize("absent", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_what_is_absent_is_a_dash_in_every_format(absent: object) -> None:
    writers = (formats.number, formats.percent, formats.points, formats.seconds, formats.size, formats.text)
    assert {write(absent) for write in writers} == {formats.ABSENT}


def test_an_infinite_number_stays_visible() -> None:
    assert formats.number(math.inf) == "∞"
    assert formats.number(-math.inf) == "\u2212∞"
    assert formats.seconds(math.inf) == "∞"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0123, "12 ms"), (0.9999, "1.0 s"), (3.21, "3.2 s"), (59.97, "1 min 0 s"), (75, "1 min 15 s"),
     (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_keep_two_units(seconds: float, written: str) -> None:
    assert formats.seconds(seconds) == written


@pytest.mark.parametrize(
    ("size", "written"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_600, "1.0 MB"),
        (224_000_000, "224 MB"),
        (9e15, "9000 TB"),
    ],
)
def test_sizes_are_decimal(size: float, written: str) -> None:
    assert formats.size(size) == written


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_a_written_number_reads_back_to_its_last_digit(value: float) -> None:
    written = formats.number(value, 3).replace("\u202f", "").replace(formats.MINUS, "-")
    assert float(written) == pytest.approx(value, abs=0.0005001)


@given(st.text())
def test_text_holds_nothing_that_html_or_markdown_would_read(value: str) -> None:
    written = formats.text(value)
    assert not re.search(r"[<>\"'*_`\[\]|]|&(?!#\d+;)", written)
    assert html.unescape(written) == value
