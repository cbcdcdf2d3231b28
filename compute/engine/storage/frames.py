"""Writes a data frame as Parquet, and sees at once that it comes back as it was. Imports pandas when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class InexactError(TypeError):
    """A data frame, or a column of it, would come back from Parquet as something else, or cannot be written."""


def write(frame: Any, path: Path) -> None:
    """Write *frame* to *path*; InexactError, naming the column, if reading would not give the same types and values.

    An index that counts from 0 is not kept but made anew, and no other is accepted.
    """
    _check(frame)
    try:
        frame.to_parquet(path, index=False)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        raise InexactError(f"a data frame that Parquet does not keep ({error})") from error
    _compare(frame, read(path))


def read(path: Path) -> Any:
    """Read what `write` wrote."""
    import pandas as pd

    return pd.read_parquet(path)


def _check(frame: Any) -> None:
    """Refuse what is known to be lost or changed, with what to do about it."""
    names = list(frame.columns)
    if not _counts(frame.index):
        raise InexactError("a data frame with an index of its own; call reset_index() first")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InexactError(f"a data frame whose columns are not named by different strings: {names}")
    if frame.columns.name is not None or frame.attrs or not frame.flags.allows_duplicate_labels:
        raise InexactError("a data frame with a name for its columns, attrs or flags, which are not kept; clear them")
    for name, dtype in frame.dtypes.items():
        if dtype.name == "object":
            raise InexactError(f"column {name!r} holds objects; give it one type, as by astype(str)")


def _counts(index: Any) -> bool:
    """Whether an index is the one that every new data frame has, or equal to it."""
    numbers = index.dtype.kind == "i" and index.name is None
    return bool(numbers and index.tolist() == list(range(len(index))))


def _compare(frame: Any, found: Any) -> None:
    if frame.shape != found.shape:
        raise InexactError("a data frame without columns, but with rows")
    for name in frame.columns:
        kind, there = frame[name].dtype, found[name].dtype
        if _told(kind) != _told(there):
            raise InexactError(
                f"column {name!r} of type {kind} would come back as {there}; convert it first by astype()"
            )
        if not frame[name].equals(found[name]):
            raise InexactError(f"column {name!r} of type {kind} would come back with other values")


def _told(dtype: Any) -> tuple[object, ...]:
    """Tell types apart that pandas calls equal: how text is stored, and the order of categories."""
    categories = getattr(dtype, "categories", None)
    inner = () if categories is None else (_told(categories.dtype), *categories, dtype.ordered)
    return (dtype.name, str(dtype), getattr(dtype, "storage", None), *inner)
