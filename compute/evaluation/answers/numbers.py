r"""Finds the number that a written answer comes to, and compares it with the number wanted. Knows no model.

The rules are ours; they follow what GSM8K ("#### 42", https://github.com/openai/grade-school-math) and MATH
("\boxed{42}", https://github.com/hendrycks/math) ask answers to look like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 1e-3
"""How far a number may be from the one wanted: in absolute terms below 1, relative to the one wanted above."""

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)"
_EXPONENT = r"(?:[eE][+-]?\d+(?!\w)|\s*(?:×|x|\*|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?[+-]?\d+\}?)?"
_POWER = r"(?:\s*(?:\^|\*\*)\s*(?:\{[+-]?\d+\}|[+-]?\d+))?"
_ONE = rf"(?:{_DIGITS}{_EXPONENT}{_POWER})"
_FRACTION = r"\\frac\s*(?:\{\s*-?[\d.,]+\s*\}|\d)\s*(?:\{\s*-?[\d.,]+\s*\}|\d)"
_NUMBER = re.compile(
    r"(?<![_^\d])(?<!\b[A-Za-z])(?<!\d\.)"  # no index, no exponent, no x2, no second part of 1.2.3
    r"(?P<sign>(?<![\w)}\]])[-+])?\$?(?P<inner>(?<![\w)}\]])-)?"
    rf"(?:(?P<whole>\d+)\s*(?P<mixed>{_FRACTION})|(?P<fraction>{_FRACTION})"
    rf"|(?P<lone>\d+)\s+(?P<part>\d+/\d+)(?![\d/])|(?<!\d/)(?P<above>{_ONE})\s*/\s*(?P<below>{_ONE})(?![\d/])|(?P<one>{_ONE}))"
)
_ENTITY = {"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
_LATEX = [
    (r"\\[dt]frac", r"\\frac"),
    (r"\{,\}|,\\!", ","),
    (r"(?<=\d)\\,(?=\d{3})", ""),
    (r"\\!|\\left|\\right|\\displaystyle", ""),
    (r"\\[,;: ]|~|\\quad", " "),
    (r"\\\$|\\\(|\\\)|\\\[|\\\]", ""),
    (r"\\%", "%"),
    (r"\^\{?\\circ\}?|°", ""),
]
_UNIT = r"(?:%|(?:[A-Za-z]{2,}\.?|[gmsL])(?:\^\{?\d\}?|[²³])?|/|per|\s|[€£¥])*"
_PREFIX = r"(?:[A-Za-z](?:_\{?\w+\}?)?\s*(?:=|\\approx|≈)\s*)?(?:[€£¥]|US\$)?\s*"


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what was found in it; None where nothing could be extracted."""

    right: bool
    found: str | None


def judge(text: str, wanted: str) -> Verdict:
    """Compare what *text* comes to with what *wanted* comes to: as numbers, or else as normalised texts.

    *wanted* may be the bare answer or a whole solution that marks it. Where it is no number ("x+1"), only an answer
    that is marked, or that is one line, counts as found.
    """
    gold = marked(wanted) or wanted.strip()
    number = value(gold)
    if number is None and (marked(wanted) is None and "\n" in wanted.strip()):
        number = extract(wanted)
    if number is not None:
        found = extract(text)
        return Verdict(found is not None and equal(found, number), None if found is None else repr(found))
    answer = marked(text) or (text.strip() if text.strip() and "\n" not in text.strip() else None)
    return Verdict(answer is not None and normalised(answer) == normalised(gold), answer)


def extract(text: str) -> float | None:
    """Return the number *text* comes to: in its last mark (a box, "####") if it has one, else its last number.

    A marked answer must be one number, with a unit at most: of "(3,4)" nothing is extracted.
    """
    answer = marked(text)
    if answer is not None:
        return value(answer)
    return next((number for match in reversed(_matches(text)) if (number := _number(match)) is not None), None)


def equal(found: float, wanted: float) -> bool:
    """Say whether two numbers are the same for our purposes."""
    return abs(found - wanted) <= TOLERANCE * max(1.0, abs(wanted))


def value(text: str) -> float | None:
    """Read *text* as one number, with a currency, a unit or "x =" around it at most; None if it is anything else."""
    plain = (
        re.sub(r"\\(?:text|mbox|mathrm)\{([^{}]*)\}", r" \1 ", _plain(text)).replace("$", "").strip().rstrip(".,;:!")
    )
    plain = re.sub(rf"^{_PREFIX}", "", plain)
    match = _NUMBER.match(plain)
    if match is None or not re.fullmatch(_UNIT, plain[match.end() :]) or re.search(r"pi\b", plain[match.end() :]):
        return None
    return _number(match)


def marked(text: str) -> str | None:
    r"""Return the answer that *text* marks as such: the last \boxed{…} or the line after the last "####".

    None if there is no mark, or nothing in it.
    """
    box, hashes = max(text.rfind("\\boxed"), text.rfind("\\fbox")), text.rfind("####")
    if box > hashes:
        return _braced(text[text.index("d" if text[box + 1] == "b" else "x", box + 3) + 1 :])
    if hashes >= 0:
        return text[hashes + 4 :].strip().partition("\n")[0].strip() or None
    return None


def normalised(text: str) -> str:
    """Return *text* without what two ways to write the same formula differ in: spaces, sizes of brackets, fonts."""
    plain = re.sub(r"\\(?:text|mbox|mathrm|textbf)\{([^{}]*)\}", r"\1", _plain(text)).strip().strip("$").strip()
    plain = re.sub(r"\s+", "", plain).rstrip(".")
    plain = re.sub(r"^[A-Za-z]=", "", plain)
    plain = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", plain)
    plain = re.sub(r"(?<![\w}])(\d+)/(\d+)(?![\w])", r"\\frac{\1}{\2}", plain)
    return re.sub(r"(?<![\d.])\.(?=\d)", "0.", plain)


def _plain(text: str) -> str:
    """Write minus signs, spaces and what LaTeX has several commands for in one way."""
    for sign, plain in _ENTITY.items():
        text = text.replace(sign, plain)
    for pattern, plain in _LATEX:
        text = re.sub(pattern, plain, text)
    return text


def _braced(text: str) -> str | None:
    r"""Return what the first braces of *text* hold, others within them included; \boxed 5 holds 5."""
    if not text.lstrip().startswith("{"):
        return (text.split() or [""])[0].rstrip("$.") or None
    depth = 0
    for place, sign in enumerate(text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "}" and depth == 0:
            return text[text.index("{") + 1 : place].strip() or None
    return text[text.index("{") + 1 :].strip() or None


def _matches(text: str) -> Sequence[re.Match[str]]:
    return list(_NUMBER.finditer(_plain(text)))


def _number(match: re.Match[str]) -> float | None:
    """Compute the number that was matched; None for one that no float can hold."""
    part = match.groupdict()
    try:
        if part["whole"] or part["lone"]:
            size = int(part["whole"] or part["lone"]) + _ratio(part["mixed"] or part["part"])
        elif part["fraction"]:
            size = _ratio(part["fraction"])
        else:
            size = _single(part["above"]) / _single(part["below"]) if part["above"] else _single(part["one"])
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    negative = part["sign"] == "-" or bool(part["inner"])
    return (-size if negative else size) if math.isfinite(size) else None


def _ratio(text: str) -> float:
    r"""Compute 3/4, \frac{3}{4} or \frac34."""
    if "/" in text:
        above, below = text.split("/")
    else:
        above, below = re.findall(r"-?[\d.,]+(?=\s*\})|\d", text.removeprefix("\\frac").replace("{ ", "{"))[:2]
    return float(above.replace(",", "")) / float(below.replace(",", ""))


def _single(text: str) -> float:
    """Compute 1,234.5, 1e5, 1.5 x 10^3 or 2^{10}."""
    plain = re.sub(r"[\s{}]", "", text.replace(",", "")).replace("**", "^")
    base, times, exponent = re.fullmatch(
        r"([\d.]+(?:[eE][+-]?\d+)?)(?:(?:×|x|\*|\\times|\\cdot)10\^([+-]?\d+))?(?:\^([+-]?\d+))?", plain
    ).groups()  # type: ignore[union-attr]
    scaled = float(f"{base}e{times}") if times else float(base)
    return scaled ** int(exponent) if exponent else scaled
