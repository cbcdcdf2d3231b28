"""How the source document sums up its scores, and how lucky the best of several is. Knows numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist


def document_rule(base: float, methods: Sequence[float], oracle: float) -> float | None:
    """Compute a task's gap as the document does, which does not say so; *methods* include the mean baseline.

    It is (best of *methods* − base) / (oracle − base), and None only where oracle and base are exactly equal: of all
    rules tried, the only one that gives all six published values. Choosing the best on the answers that it is then
    measured by favours it (see `expected_maximum`), and where the oracle is below the base a gain counts as a loss.
    """
    return None if oracle == base else (max(methods) - base) / (oracle - base)


def document_average(gaps: Sequence[float | None]) -> float | None:
    """Average the gaps of a domain as the document does: over those that are not None, without rounding."""
    known = [value for value in gaps if value is not None]
    return sum(known) / len(known) if known else None


def document_criterion(means: Sequence[float], learned: Sequence[Sequence[float]]) -> float:
    """Compute the document's success criterion: best learned method minus mean baseline, averaged over tasks.

    *learned* holds the accuracies of a task's learned methods, *means* those of the mean baseline; the best is chosen
    for each task, on the answers that it is then measured by. A task counts here even where `document_rule` is None.
    """
    gains = [max(scores) - mean for mean, scores in zip(means, learned, strict=True)]
    return sum(gains) / len(gains)


@cache
def expected_maximum(count: int) -> float:
    """Compute the mean of the largest of *count* independent standard normal numbers.

    So many standard errors above the truth is the best of as many equally good methods, were their errors
    independent; the errors of methods that are measured by the same examples are alike, and less is to be expected.
    """
    if count < 1:
        raise ValueError(f"expected at least one number, found {count}")
    normal, step = NormalDist(), 1 / 200
    places = [number * step for number in range(-2400, 2401)]
    return sum(x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) * step for x in places)


def expected_luck(count: int, accuracy: float, n: int) -> float:
    """Return by how much the best of *count* methods of the same true *accuracy* is too good, on *n* examples."""
    return expected_maximum(count) * math.sqrt(accuracy * (1 - accuracy) / n)
