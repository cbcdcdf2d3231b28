"""Searches for the best of some candidates by their scores. Knows no merge, no model and no data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Trial(Generic[T]):
    """What a *candidate* scored with a *budget*, such as a number of examples."""

    candidate: T
    budget: int
    score: float


def successive_halving(
    candidates: Sequence[T], score: Callable[[T, int], float], *, budgets: Sequence[int], keep: float = 0.5
) -> tuple[T, list[Trial[T]]]:
    """Return the best of *candidates*, and all trials in their order.

    Every candidate is scored with the first of the growing *budgets*, the best share *keep* of them, rounded up, with
    the next, and so on; the best of the last round wins. Of equal scores, the earlier candidate's counts as better.
    With one budget this is exhaustive search. Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943, where half
    are kept.

    *score* is the higher, the better, and is asked for no candidate and budget twice. What it looks at must not be
    what the winner is reported on: the winner's own score favours it.

    Raises ValueError for no candidates, budgets that do not grow, a share outside (0, 1], or a score that is no number.
    """
    if not candidates:
        raise ValueError("nothing to search: no candidates")
    if not budgets or budgets[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(budgets)):
        raise ValueError(f"budgets must be positive and grow, not {list(budgets)}")
    if not 0 < keep <= 1:
        raise ValueError(f"keep is the share of candidates that the next round sees, in (0, 1], not {keep}")
    left, history = list(candidates), list[Trial[T]]()
    for budget in budgets:
        trials = [Trial(candidate, budget, _number(score(candidate, budget))) for candidate in left]
        history += trials
        ranked = sorted(range(len(trials)), key=lambda place: (-trials[place].score, place))
        left = [left[place] for place in sorted(ranked[: _kept(keep, len(left))])]
    return trials[ranked[0]].candidate, history


def grid(**values: Iterable[object]) -> list[dict[str, object]]:
    """Return every combination of *values* by name, the last name's varying fastest; one empty one of nothing."""
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def simplex(size: int, count: int, *, seed: int = 0, concentration: float = 1.0) -> list[tuple[float, ...]]:
    """Return *count* points of *size* non-negative numbers that sum to one: the centre, and others drawn by *seed*.

    The others follow a symmetric Dirichlet distribution: uniform with a *concentration* of 1, nearer the centre above,
    nearer the corners below. Of two counts the smaller one's points are the first of the other's.

    Raises ValueError for a size or count below 1 or a concentration that is not positive.
    """
    if size < 1 or count < 1 or not concentration > 0:
        raise ValueError(f"expected size, count and concentration above 0, not {size}, {count}, {concentration}")
    rng = np.random.default_rng(seed)
    drawn = (rng.dirichlet([concentration] * size) for _ in range(count - 1))
    return [(1 / size,) * size, *(tuple(float(number) for number in point) for point in drawn)]


def _kept(share: float, count: int) -> int:
    """Return that *share* of *count*, rounded up, but for what the float itself is off: a tenth of 30 is 3."""
    return max(1, math.ceil(round(share * count, 9)))


def _number(score: float) -> float:
    if math.isnan(score):
        raise ValueError("a score is not a number: candidates cannot be ranked by it")
    return score
