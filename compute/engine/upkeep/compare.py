"""Compares a result with what computing it again gave: the same values, values within a tolerance, or others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engine import files

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""How far a number may lie from the stored one: ABSOLUTE + RELATIVE × its size."""

CHUNK = 1 << 20
"""Numbers of an array that are compared at a time, in double precision."""


@dataclass(frozen=True)
class Tolerance:
    """How far apart two floating-point numbers may lie and still be called near."""

    relative: float = RELATIVE
    absolute: float = ABSOLUTE


@dataclass(frozen=True)
class Deviation:
    """Where and by how much a value differs from the stored one."""

    where: str
    """As `result.score[3]`."""
    absolute: float = 0.0
    relative: float = 0.0
    """The difference by the larger of the two numbers."""
    excess: float = 0.0
    """The difference by what the tolerance allows; above 1 it is beyond."""
    what: str = ""
    """What was found instead of what, where it is no number within the tolerance."""

    @property
    def near(self) -> bool:
        """Whether it lies within the tolerance."""
        return not self.what


def compare(stored: Any, again: Any, tolerance: Tolerance | None = None) -> Deviation | None:
    """Return the first deviation beyond the tolerance, or the largest within it; None if all values are the same.

    Floating-point numbers may differ by the tolerance. Everything else must be equal: whole numbers, for they
    are counts, labels and seeds, texts, names, types and shapes.
    """
    largest: Deviation | None = None
    for found in _walk(stored, again, "result", tolerance or Tolerance()):
        if not found.near:
            return found
        largest = _larger(largest, found)
    return largest


def _larger(one: Deviation | None, other: Deviation) -> Deviation:
    """Return the place of the graver deviation, with the largest difference of each kind."""
    if one is None:
        return other
    graver = max(one, other, key=lambda item: item.excess)
    absolute, relative = max(one.absolute, other.absolute), max(one.relative, other.relative)
    return Deviation(graver.where, absolute, relative, graver.excess)


def _walk(a: Any, b: Any, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    """Find the values that differ, in order; what is not comparable ends the walk of its part."""
    if type(a) is not type(b) and not (_is_number(a) and _is_number(b)):
        yield _other(where, type(a).__name__, type(b).__name__)
    elif isinstance(a, Mapping):
        yield from _mappings(a, b, where, tolerance)
    elif isinstance(a, list | tuple):
        yield from _lists(a, b, where, tolerance)
    elif hasattr(a, "columns"):
        yield from _frames(a, b, where, tolerance)
    elif hasattr(a, "dtype") and hasattr(a, "shape"):
        yield from _arrays(a, b, where, tolerance)
    elif isinstance(a, Path):
        yield from _folders(a, b, where)
    elif isinstance(a, float) or isinstance(b, float):
        yield from _numbers(a, b, where, tolerance)
    elif repr(a) != repr(b):
        yield _other(where, a, b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _other(where: str, stored: Any, again: Any) -> Deviation:
    return Deviation(where, what=f"{_brief(again)} instead of {_brief(stored)}")


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]} …"


def _mappings(a: Mapping[str, Any], b: Mapping[str, Any], where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    if set(a) != set(b):
        yield _other(where, f"the names {', '.join(sorted(a))}", f"the names {', '.join(sorted(b))}")
        return
    for name in a:
        yield from _walk(a[name], b[name], f"{where}.{name}", tolerance)


def _lists(a: Any, b: Any, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    if len(a) != len(b):
        yield _other(where, f"{len(a)} items", f"{len(b)} items")
        return
    for place, (one, other) in enumerate(zip(a, b, strict=True)):
        yield from _walk(one, other, f"{where}[{place}]", tolerance)


def _frames(a: Any, b: Any, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        yield _other(where, _outline(a), _outline(b))
        return
    for name in a.columns:
        yield from _columns(a[name], b[name], f"{where}.{name}", tolerance)


def _outline(frame: Any) -> str:
    return f"{len(frame)} rows of {', '.join(frame.columns)}"


def _columns(a: Any, b: Any, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    if str(a.dtype) != str(b.dtype):
        yield _other(where, a.dtype, b.dtype)
    elif a.dtype.kind == "f":
        one, other = (item.to_numpy(dtype="float64", na_value=float("nan")) for item in (a, b))
        yield from _arrays(one, other, where, tolerance)
    else:
        yield from _lists(a.tolist(), b.tolist(), where, tolerance)


def _folders(a: Path, b: Path, where: str) -> Iterator[Deviation]:
    here, there = ({str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()} for top in (a, b))
    if set(here) != set(there):
        yield _other(where, sorted(here), sorted(there))
        return
    for name in sorted(here):
        if files.sha256(here[name]) != files.sha256(there[name]):
            yield _other(f"{where}/{name}", "its bytes", "other bytes")


def _numbers(a: float, b: float, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    if a == b or (a != a and b != b):
        return
    yield _judged(float(a), float(b), where, tolerance)


def _judged(a: float, b: float, where: str, tolerance: Tolerance) -> Deviation:
    """Judge two numbers that are not the same."""
    absolute, size = abs(a - b), max(abs(a), abs(b))
    excess = absolute / (tolerance.absolute + tolerance.relative * abs(a))
    if not excess <= 1:
        return _other(where, a, b)
    return Deviation(where, absolute, absolute / size, excess)


def _arrays(a: Any, b: Any, where: str, tolerance: Tolerance) -> Iterator[Deviation]:
    """Compare arrays or tensors, a piece at a time; of each piece the gravest deviation is told."""
    shape = tuple(a.shape)
    if (str(a.dtype), shape) != (str(b.dtype), tuple(b.shape)):
        yield _other(where, f"{a.dtype} {shape}", f"{b.dtype} {tuple(b.shape)}")
        return
    a, b = a.reshape(-1), b.reshape(-1)
    for start in range(0, len(a), CHUNK):
        yield from _pieces(
            _plain(a[start : start + CHUNK]), _plain(b[start : start + CHUNK]), where, shape, start, tolerance
        )


def _plain(piece: Any) -> Any:
    """Return a piece of an array or tensor as a numpy array, floating-point numbers in double precision."""
    if hasattr(piece, "detach"):
        return (piece.double() if piece.is_floating_point() else piece).numpy()
    return piece.astype("float64") if piece.dtype.kind == "f" else piece


def _pieces(
    a: Any, b: Any, where: str, shape: tuple[int, ...], start: int, tolerance: Tolerance
) -> Iterator[Deviation]:
    import numpy as np

    differ = np.flatnonzero((a != b) & ~((a != a) & (b != b)))
    if not len(differ):
        return
    a, b = a[differ], b[differ]

    def place(index: Any) -> str:
        return f"{where}[{', '.join(map(str, np.unravel_index(start + int(differ[index]), shape)))}]"

    if a.dtype.kind != "f":
        yield _other(place(0), a[0], b[0])
        return
    with np.errstate(invalid="ignore"):
        absolute = np.abs(a - b)
        excess = absolute / (tolerance.absolute + tolerance.relative * np.abs(a))
    beyond = np.flatnonzero(~(excess <= 1))
    if len(beyond):
        yield _other(place(beyond[0]), a[beyond[0]], b[beyond[0]])
        return
    relative = absolute / np.maximum(np.abs(a), np.abs(b))
    worst = int(excess.argmax())
    yield Deviation(place(worst), float(absolute.max()), float(relative.max()), float(excess[worst]))
