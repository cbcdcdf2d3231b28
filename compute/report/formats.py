"""How a value is written for a reader: percentages, points, numbers, times, sizes. Knows no page."""

from __future__ import annotations

import math
import re

ABSENT = "—"
"""What stands where there is no value."""

MINUS = "\u2212"
_SPECIAL = re.compile(r"[&<>\"'\\`*_{}\[\]|~#]")


def is_absent(value: object) -> bool:
    """Tell whether *value* is None, not a number, or pandas' missing value."""
    if value is None:
        return True
    if isinstance(value, (int, float)):
        return math.isnan(value)
    return type(value).__name__ in {"NAType", "NaTType"} or value != value


def number(value: object, digits: int = 2) -> str:
    """Write a number with *digits* decimals, a thin space between thousands and a true minus sign."""
    amount = _amount(value)
    if amount is None:
        return ABSENT
    return _signed(f"{amount:,.{digits}f}".replace(",", "\u202f"))


def percent(value: object, digits: int = 2) -> str:
    """Write a share of one as a percentage: 0.6654 is ``66.54 %``."""
    amount = _amount(value)
    return ABSENT if amount is None else f"{number(amount * 100, digits)} %"


def points(value: object, digits: int = 2) -> str:
    """Write a difference that is already in percentage points, with its sign: 0.1 is ``+0.10 pts``."""
    amount = _amount(value)
    if amount is None:
        return ABSENT
    return _signed(f"{amount:+,.{digits}f}".replace(",", "\u202f")) + " pts"


def seconds(value: object) -> str:
    """Write a duration given in seconds: ``12 ms``, ``3.2 s``, ``1 min 15 s``, ``2 h 5 min``."""
    amount = _amount(value)
    if amount is None:
        return ABSENT
    if math.isinf(amount):
        return "∞"
    if amount < 0.9995:
        return f"{amount * 1000:.0f} ms"
    if amount < 59.95:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(amount / 60), 60)
    return f"{hours} h {minutes} min"


def size(value: object) -> str:
    """Write a number of bytes in decimal units: ``512 B``, ``1.5 kB``, ``224 MB``."""
    amount = _amount(value)
    if amount is None:
        return ABSENT
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.95 else f"{amount:.1f} {unit}"


def text(value: object) -> str:
    """Write any value as plain text for a Markdown line: nothing in it becomes HTML or Markdown."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", ABSENT if is_absent(value) else str(value))


def _amount(value: object) -> float | None:
    return None if is_absent(value) else float(value)  # type: ignore[arg-type]  # any library's number


def _signed(written: str) -> str:
    """Put a true minus sign, and no sign at all before a zero."""
    written = written.replace("inf", "∞")
    if any(mark in "123456789∞" for mark in written):
        return written.replace("-", MINUS)
    return written.lstrip("+-")
