from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.evaluation.answers.numbers import TOLERANCE, equal, extract, judge, marked, normalised, value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", 42),
        ("so she has $1,234.50 left.", 1234.5),
        ("10-3=7", 7),
        ("10-3", 3),
        ("2 - 3", 3),
        ("it is -5", -5),
        ("it is \u22125 degrees", -5),
        ("f(2) = -3", -3),
        ("-$5", -5),
        ("$-5", -5),
        ("5km", 5),
        ("50%", 50),
        ("3/4 of it", 0.75),
        (r"\frac{3}{4}", 0.75),
        (r"\dfrac34", 0.75),
        ("1 1/2 cups", 1.5),
        (r"$1\frac{1}{2}$", 1.5),
        ("1.5e3", 1500),
        (r"1.5 \times 10^{3}", 1500),
        ("1.5 x 10^3", 1500),
        ("10^3", 1000),
        ("7 * 6 = 42", 42),
        ("range 5-10", 10),
        ("5\u20137", 7),
        ("USD500", 500),
        ("Rs.500", 500),
        (".5", 0.5),
        ("12,345,678", 12345678),
        ("1,2,3", 3),
        ("12/25/2020", 2020),
        ("**18**", 18),
        ("18 dollars/hour", 18),
        ("3 apples, or 1/0", 3),
        ("#### 1,000\nor was it 4", 1000),
        (r"first \boxed{7}, then 9", 7),
        (r"\boxed{7} so #### 8", 8),
        (r"#### 8 so \boxed{7}", 7),
        (r"\boxed{x=5}", 5),
        (r"\boxed{5\text{ apples}}", 5),
        (r"\boxed{5 m^2}", 5),
        (r"\boxed{\frac{1}{2}}", 0.5),
        (r"\boxed{-\frac{1}{2}}", -0.5),
        (r"\boxed{90^\circ}", 90),
        (r"\boxed{1{,}000}", 1000),
        (r"\boxed{10,\!000}", 10000),
        (r"\boxed{\$18.}", 18),
        (r"\boxed 5", 5),
        (r"\boxed{50\%}", 50),
    ],
)
def test_the_number_an_answer_comes_to(text: str, number: float) -> None:
    assert extract(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text",
    [
        *("", "none", "x2", "a_1", "1/0", "9" * 400, "1e999", "####", r"\boxed{", r"\boxed{}", r"\boxed{(3,4)}"),
        *(r"\boxed{2\sqrt{3}}", r"\boxed{5x}", r"\boxed{3 pi}", r"\boxed{3\pi}", r"\boxed{3, 4}"),
    ],
)
def test_nothing_is_extracted_from_what_is_no_number(text: str) -> None:
    assert extract(text) is None


@given(st.integers(-(10**12), 10**12))
def test_integers_are_read_as_they_are_written(number: int) -> None:
    for text in (
        f"it is {number}.",
        f"it is {number:,}.",
        f"#### {number}",
        rf"so \boxed{{{number:,}}} 1",
        f"={number}",
    ):
        assert extract(text) == number


@given(st.floats(-1e6, 1e6).map(lambda number: round(number, 4)), st.integers(1, 500))
def test_decimals_and_fractions_are_read_as_they_are_written(number: float, below: int) -> None:
    assert extract(f"about {number:.4f} in all") == number
    assert value(f"{abs(int(number))}/{below}") == pytest.approx(abs(int(number)) / below)
    assert value(rf"\frac{{{int(number)}}}{{{below}}}") == pytest.approx(int(number) / below)


@given(st.text(alphabet="0123456789.,/-+^_{}()$%\\ e×x*#frac boxed\n\u2212", max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    found = extract(text)
    assert found is None or abs(found) < float("inf")
    assert judge(text, text).found is None or isinstance(judge(text, text).right, bool)


def test_a_thousandth_is_near_enough() -> None:
    assert equal(1000.9, 1000)
    assert not equal(1001.1, 1000)
    assert equal(0.0009, 0)
    assert not equal(0.0011, 0)
    assert not equal(-5, 5)


@given(st.floats(-1e9, 1e9), st.floats(-2, 2))
def test_the_tolerance_grows_with_the_number_wanted(wanted: float, times: float) -> None:
    if abs(abs(times) - 1) > 0.01:
        assert equal(wanted + times * TOLERANCE * max(1, abs(wanted)), wanted) == (abs(times) < 1)


@pytest.mark.parametrize(
    ("answer", "wanted", "right"),
    [
        ("6 times 7, so 42", "working: 6 * 7\n#### 42", True),
        ("The answer is 12", "first 4, then 3\nso 12", True),
        ("The answer is 13", "so 12", False),
        ("0.5", r"\frac{1}{2}", True),
        (r"\boxed{\frac12}", r"The half is \boxed{\frac{1}{2}}.", True),
        (r"\boxed{\left( 3, 4 \right)}", "(3,4)", True),
        (r"\boxed{4}", "(3,4)", False),
        ("x + 1", "x+1", True),
        (r"so we get $\boxed{x+1}$", "x+1", True),
        (r"\boxed{\text{even}}", "even", True),
        (r"\boxed{\dfrac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}", True),
        (r"\boxed{y = .5x}", "0.5x", True),
        (r"\boxed{1/2 + x}", r"\frac{1}{2}+x", True),
    ],
)
def test_answers_are_compared_with_what_is_wanted(answer: str, wanted: str, right: bool) -> None:
    assert judge(answer, wanted).right is right


@pytest.mark.parametrize(("answer", "wanted"), [("", "3"), ("I do not know", "3"), ("", "x+1"), ("a\nb", "x+1")])
def test_an_answer_without_anything_to_extract_is_wrong_and_known(answer: str, wanted: str) -> None:
    assert (judge(answer, wanted).right, judge(answer, wanted).found) == (False, None)


def test_marks() -> None:
    assert marked(r"\boxed{\frac{1}{2}} and \boxed{a{b}c}d}") == "a{b}c"
    assert marked("#### 3\n#### 4 \nrest") == "4"
    assert marked(r"\fbox{7}") == "7"
    assert marked("no mark") is None


def test_two_ways_to_write_the_same_are_the_same() -> None:
    assert normalised(r"\tfrac12 \left[ x \right]") == normalised(r"$\frac{1}{2}[x]$")
    assert normalised(r"90^\circ") == "90"
