"""How near the anchors are to the adapter that is to be translated. Knows inner products alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compute.adapters.problem import Floats, Problem
from compute.errors import UsageError

DIGITS = 9
"""Decimals of a cosine that count: rounding must not decide between equal anchors."""


def nearest_anchors(problem: Problem, k: int, centred: bool) -> NDArray[np.int64]:
    """Return the places of the *k* anchors nearest to the task's adapter on X, from the nearest; all if k is larger.

    Nearness is `cosines`; of equally near anchors the one whose name sorts first comes first. UsageError for k < 1.
    """
    if k < 1:
        raise UsageError(f"k, the number of nearest anchors, must be at least 1, not {k}")
    near = cosines(problem, centred).round(DIGITS)
    order = sorted(range(len(problem)), key=lambda place: (-near[place], problem.anchors[place]))
    return np.array(order[:k])


def cosines(problem: Problem, centred: bool) -> Floats:
    """Return the cosine of the task's adapter on X with each anchor [n], all tensors taken as one long vector.

    The document takes it as it is. *centred* subtracts the anchors' mean first: adapters that share their
    initialisation are all alike without it. An adapter that is zero has the cosine 0 with everything.
    """
    gram, query, norm = problem.x.sum(axis=0), problem.query.sum(axis=0), problem.norm.sum()
    sizes = np.diagonal(gram)
    if centred:
        means, whole = gram.mean(axis=0), gram.mean()
        query, sizes, norm = (
            query - means - query.mean() + whole,
            sizes - 2 * means + whole,
            norm - 2 * query.mean() + whole,
        )
    lengths = np.sqrt(np.maximum(sizes * norm, 0))
    return np.asarray(np.divide(query, lengths, out=np.zeros_like(lengths), where=lengths > 0))
