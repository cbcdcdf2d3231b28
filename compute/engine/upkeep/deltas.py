"""By how much two results differ: numbers at their places, columns, arrays and files in sum.

Knows what the store keeps; what a number means, others know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engine import files


@dataclass(frozen=True)
class Delta:
    """One place at which two results differ."""

    where: str
    """Dotted, as `scores.accuracy` or `rows[3].mean`; empty for the result itself."""
    kind: str
    """number, column (its means), array (its means), rows, shape, files, value, new or gone."""
    old: Any
    new: Any
    largest: float | None = None
    """The largest absolute difference of numbers here; None where there are none."""
    differ: int = 1
    """At how many places within a column or array."""
    of: int = 1
    """How many places it has."""

    @property
    def rank(self) -> float:
        """By what to sort: differences that are no numbers come first, for they may be anything."""
        return math.inf if self.largest is None or math.isnan(self.largest) else self.largest


def deltas(old: Any, new: Any) -> list[Delta]:
    """Return the places at which two results differ, the largest difference first."""
    return sorted(_walk(old, new, ""), key=lambda item: -item.rank)


def _walk(old: Any, new: Any, where: str) -> Iterator[Delta]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(old, new, where)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _lists(old, new, where)
    elif _is_number(old) and _is_number(new):
        yield from _numbers(old, new, where)
    elif isinstance(old, Path) and isinstance(new, Path):
        yield from _folders(old, new, where)
    elif type(old) is not type(new):
        yield Delta(where, "value", _short(old), _short(new))
    elif hasattr(old, "columns"):
        yield from _frames(old, new, where)
    elif hasattr(old, "shape"):
        yield from _arrays(old, new, where)
    elif old != new:
        yield Delta(where, "value", _short(old), _short(new))


def _mappings(old: Mapping[str, Any], new: Mapping[str, Any], where: str) -> Iterator[Delta]:
    for name in {**old, **new}:
        place = f"{where}.{name}" if where else name
        if name not in new:
            yield Delta(place, "gone", _short(old[name]), None)
        elif name not in old:
            yield Delta(place, "new", None, _short(new[name]))
        else:
            yield from _walk(old[name], new[name], place)


def _lists(old: Any, new: Any, where: str) -> Iterator[Delta]:
    if len(old) != len(new):
        yield Delta(where, "rows", len(old), len(new))
    elif old and all(map(_is_number, [*old, *new])):
        yield from _summed(list(old), list(new), where, "array")
    else:
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk(before, after, f"{where}[{number}]")


def _numbers(old: float, new: float, where: str) -> Iterator[Delta]:
    if old != new and not (math.isnan(old) and math.isnan(new)):
        yield Delta(where, "number", old, new, abs(new - old))


def _summed(old: list[Any], new: list[Any], where: str, kind: str) -> Iterator[Delta]:
    """Compare numbers in sum: the means, and the largest difference at one place."""
    found = [item for pair in zip(old, new, strict=True) for item in _numbers(*pair, "")]
    if found:
        yield Delta(where, kind, _mean(old), _mean(new), max(item.rank for item in found), len(found), len(old))


def _frames(old: Any, new: Any, where: str) -> Iterator[Delta]:
    if len(old) != len(new):
        yield Delta(where, "rows", len(old), len(new))
    for name in dict.fromkeys([*old.columns, *new.columns]):
        place = f"{where}.{name}" if where else str(name)
        if name not in new.columns:
            yield Delta(place, "gone", "a column", None)
        elif name not in old.columns:
            yield Delta(place, "new", None, "a column")
        else:
            yield from _columns(old[name].tolist(), new[name].tolist(), place)


def _columns(old: list[Any], new: list[Any], where: str) -> Iterator[Delta]:
    numeric = all(map(_is_number, [*old, *new]))
    if numeric and len(old) == len(new):
        yield from _summed(old, new, where, "column")
    elif numeric and _mean(old) != _mean(new):
        yield Delta(where, "column", _mean(old), _mean(new), abs(_mean(new) - _mean(old)))
    elif not numeric and len(old) == len(new) and (unlike := _unlike(old, new)):
        yield Delta(where, "value", f"{unlike} of {len(old)} values differ", None)


def _unlike(old: list[Any], new: list[Any]) -> int:
    """Count the places at which two columns differ; what is missing in both does not."""
    pairs = zip(old, new, strict=True)
    return sum(_missing(one) != _missing(other) or not (_missing(one) or one == other) for one, other in pairs)


def _arrays(old: Any, new: Any, where: str) -> Iterator[Delta]:
    """Compare arrays or tensors, in double precision."""
    if tuple(old.shape) != tuple(new.shape) or old.dtype != new.dtype:
        yield Delta(where, "shape", f"{old.dtype} {tuple(old.shape)}", f"{new.dtype} {tuple(new.shape)}")
        return
    before, after = _double(old), _double(new)
    both = (before == after) | ((before != before) & (after != after))
    if bool(both.all()):
        return
    unlike = abs(after - before)[~both]
    means = float(before.mean()), float(after.mean())
    yield Delta(where, "array", *means, float(unlike.max()), len(unlike), math.prod(both.shape))


def _double(value: Any) -> Any:
    return value.double() if hasattr(value, "double") else value.astype("float64")


def _folders(old: Path, new: Path, where: str) -> Iterator[Delta]:
    before, after = _digests(old), _digests(new)
    names = {*before, *after}
    unlike = sorted(name for name in names if before.get(name) != after.get(name))
    if unlike:
        yield Delta(where, "files", f"{len(unlike)} of {len(names)} files differ", ", ".join(unlike[:5]))


def _digests(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _missing(value: Any) -> bool:
    """Whether a value of a column is none: not-a-number and its like are not themselves."""
    return value is None or not isinstance(value == value, bool) or value != value


def _mean(values: list[Any]) -> float:
    return math.fsum(value / len(values) for value in values)  # the sum itself may be too large for a float


def _short(value: Any) -> Any:
    """Return plain values as they are, long texts cut, and anything else by its kind."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= 200 else f"{value[:200]} … {len(value)} characters in all"
    size = f" of {len(value)}" if isinstance(value, list | tuple | Mapping) else ""
    return f"a {type(value).__name__}{size}"
