"""Who answered what right, as somebody else measured it: a JSON file a system and task. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from compute.errors import UsageError, short, unknown

LARGEST = 200_000_000
"""Bytes that such a file may have; millions of examples take less."""

BESIDE = ("base", "oracle")
"""Systems that translate nothing: the model itself, and the adapter that was trained for the task."""

OTHERS = "others"
"""Ends the name of a system that translated each task by all other tasks, and not by the anchors alone."""

KEYS = ("n", "correct", "ids")


class Answers(TypedDict):
    """How many examples there were, which were answered right, and their ids (empty where nobody noted them)."""

    n: int
    correct: list[bool]
    ids: list[str]


@dataclass(frozen=True)
class Recorded:
    """A file of `n`, `correct` (text or list of 0 and 1) and optionally `ids`."""

    path: Path

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name the digest of the file."""
        self.check()
        return {"results": digest(self.path)}

    def check(self) -> None:
        """Raise UsageError if there is no file."""
        if not self.path.is_file():
            raise UsageError(f"no results in {self.path}: expected a file of JSON with n and correct")

    def load(self) -> Answers:
        """Read the answers; UsageError where the file is damaged, or its parts do not fit together."""
        self.check()
        said = _read(self.path)
        for key in said:
            if key not in KEYS:
                raise UsageError(f"{self.path}: {unknown('key of results', key, KEYS)}")
        correct = _correct(self.path, said.get("correct"))
        if type(n := said.get("n")) is not int or n != len(correct) or not n:
            raise UsageError(
                f"{self.path}: n is {short(n)}, and correct tells of {len(correct)} examples: they must agree"
            )
        return {"n": n, "correct": correct, "ids": _ids(self.path, said.get("ids"), n)}


def _read(path: Path) -> dict[str, Any]:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UsageError(f"{path} has {size:,} bytes, which no results need: write it again")
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON ({short(error)}): write it again") from error
    if not isinstance(said, dict):
        raise UsageError(
            f"{path}: expected a mapping with n and correct, found a {type(said).__name__}: write it again"
        )
    return said


def _correct(path: Path, said: object) -> list[bool]:
    known: dict[str | int, bool] = {"0": False, "1": True} if isinstance(said, str) else {0: False, 1: True}
    if isinstance(said, (str, list)) and all(isinstance(one, (str, int)) and one in known for one in said):
        return [known[one] for one in said]
    raise UsageError(f"{path}: correct must be a text or a list of 0 and 1, an entry an example, not {short(said)}")


def _ids(path: Path, said: object, n: int) -> list[str]:
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(one, (str, int)) for one in said):
        raise UsageError(f"{path}: ids must be a list of texts or numbers, not {short(said)}")
    ids = [str(one) for one in said]
    if len(ids) != n or len(set(ids)) != n:
        raise UsageError(
            f"{path}: {len(ids)} ids, {len(set(ids))} of them distinct, for {n} examples: each needs its own"
        )
    return ids
