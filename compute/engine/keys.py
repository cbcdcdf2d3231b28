"""Turns a call into its key: canonical form, then sha256. Refuses by name what has no stable form.

Knows how values are told apart; knows nothing of cells' results, files on disk or pages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from compute.engine import files
from compute.errors import UsageError


@runtime_checkable
class Input(Protocol):
    """Something outside the project that a result depends on: a file, a data set, a model on the hub."""

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Return what tells this input from others: a content digest or a pinned revision, never a path."""


def canonical(value: object, where: str = "value") -> Any:
    """Return the JSON form of *value* that is equal for equal values and different for different ones.

    Strings, booleans, None and integers stand for themselves; everything else is a list that begins
    with a tag, so that 1, 1.0, "1", True and (1,) all differ. Raises UsageError, naming *where*, for
    a value without a stable form.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float):
        return ["float", _float(value, where)]
    if (key := getattr(value, "cell_key", None)) is not None:
        return ["cell", key]
    if isinstance(value, list | tuple):
        tag = "list" if isinstance(value, list) else "tuple"
        return [tag, *(canonical(item, f"{where}[{i}]") for i, item in enumerate(value))]
    if isinstance(value, set | frozenset):
        return ["set", *sorted((canonical(item, where) for item in value), key=dumps)]
    if isinstance(value, Mapping):
        return ["mapping", *_pairs(value, where)]
    if isinstance(value, Input):
        return ["input", type(value).__name__, canonical(value.identity(files.digest), where)]
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in fields(value)}
        return ["object", type(value).__name__, *_pairs(members, where)]
    raise UsageError(_refusal(value, where))


def _float(value: float, where: str) -> str:
    if math.isnan(value):
        raise UsageError(f"{where}: not-a-number is never equal to itself, so it cannot be part of a key")
    return value.hex()


def _pairs(mapping: Mapping[Any, object], where: str) -> list[list[Any]]:
    for name in mapping:
        if not isinstance(name, str):
            raise UsageError(f"{where}: mapping keys must be strings, found {name!r}")
    return [[name, canonical(mapping[name], f"{where}.{name}")] for name in sorted(mapping)]


def _refusal(value: object, where: str) -> str:
    if isinstance(value, Path):
        return f"{where}: a path says nothing of the content; pass an input that has a digest"
    return f"{where}: a {type(value).__name__} has no stable form; pass plain values, dataclasses or cells"


def dumps(form: object) -> str:
    """Write a canonical form as JSON, the same bytes everywhere."""
    return json.dumps(form, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def hashed(form: object) -> str:
    """Return the sha256 of a canonical form, 64 hexadecimal digits."""
    return sha256(dumps(form).encode()).hexdigest()


def key_of(name: str, arguments: Mapping[str, object]) -> str:
    """Return the key of a call: the cell's *name* and every bound argument, defaults included."""
    return hashed(["cell", name, *_pairs(arguments, name)])


def derived_seed(seed: int, key: str) -> int:
    """Derive a cell's own seed from the study's *seed* and the cell's *key*; in [0, 2**63)."""
    return int.from_bytes(sha256(f"{seed}/{key}".encode()).digest()[:8], "big") >> 1
