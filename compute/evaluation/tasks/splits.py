"""Divides the examples of a task by what they say, so that a split stays when rows are added. Knows no data set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from compute.evaluation.tasks.task import Example


def normalized(text: str) -> str:
    """Return *text* in lower case with single spaces: what two texts are equal by."""
    return " ".join(text.lower().split())


def digest(text: str) -> str:
    """Hash a normalised text (sha256, hex)."""
    return hashlib.sha256(normalized(text).encode()).hexdigest()


def place(text: str) -> float:
    """Return where *text* falls in [0, 1), by its hash alone."""
    return int(digest(text)[:13], 16) / 16**13


def within(example: Example, share: tuple[float, float]) -> bool:
    """Whether an example belongs to a part that takes the places *share* = [from, to)."""
    return share[0] <= place(example.prompt) < share[1]


def number(identifier: str) -> int:
    """Return the number that an id ends with, as 12 of "HumanEval/12"; -1 without one."""
    found = re.search(r"\d+$", identifier)
    return int(found[0]) if found else -1


def at_most(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """Return the *limit* examples that fall lowest, in their own order: no choice by what stands first."""
    if limit is None or limit >= len(examples):
        return list(examples)
    lowest = set(sorted(range(len(examples)), key=lambda i: (digest(examples[i].prompt), i))[:limit])
    return [example for i, example in enumerate(examples) if i in lowest]


def content(examples: Iterable[Example]) -> str:
    """Hash what a part of a task asks and expects, in its order (sha256, hex)."""
    found = hashlib.sha256()
    for example in examples:
        for text in (example.id, example.prompt, example.target, *example.choices, str(example.answer), example.tests):
            found.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return found.hexdigest()
