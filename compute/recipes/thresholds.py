"""Remembers what a method found by ranking whole sources, by their digests: the next merge need not look again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engine.files import read_json, write_atomically


class Thresholds:
    """Thresholds of task vectors, one file a pair of base and expert in *folder*; see compute.merging.stream.Remember.

    *digests* names the content of each source by its name, *base* that of the base ("" without one). The name counts,
    too: the masks of DARE follow from it.
    """

    def __init__(self, folder: Path, base: str, digests: Mapping[str, str]) -> None:
        self._files = {name: folder / f"{_hash([base, digest, name])}.json" for name, digest in digests.items()}
        self._known = {name: read_json(file) for name, file in self._files.items()}
        self._changed: set[str] = set()

    def __call__(self, sources: Sequence[str], what: object, work: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what is known of all *sources* under the description *what*, or do the *work* and remember it."""
        key = _hash(what)
        known = [_number(self._known[name].get(key)) for name in sources]
        if None not in known:
            return np.array(known)
        found = work()
        for name, number in zip(sources, found, strict=True):
            self._known[name][key] = [str(found.dtype), float(number).hex()]
            self._changed.add(name)
        return found

    def save(self) -> None:
        """Write what was learnt."""
        for name in self._changed:
            write_atomically(self._files[name], json.dumps(self._known[name]).encode())
        self._changed.clear()


def _number(entry: Any) -> np.floating[Any] | None:
    """Return what an entry [type, number] says; None if it is missing or damaged: it can always be worked out again."""
    match entry:
        case ["float32" | "float64" as kind, str(text)]:
            try:
                number = float.fromhex(text)
            except (ValueError, OverflowError):
                return None
            return np.dtype(kind).type(number) if 0 <= number < math.inf else None
    return None


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
