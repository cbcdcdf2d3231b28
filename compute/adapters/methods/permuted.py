"""Translation from anchors whose adapters on Y were exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.method import translation_method
from compute.adapters.ridge import ridge_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Ridge with wrong pairs of anchors",
    source="",
    role="control",
)
def permuted(problem: Problem, *, relative_lambda: float = 0.01) -> Floats:
    """Do as pertensor_ridge after giving every anchor another one's adapter on Y, by lot of the problem's seed.

    What this gains over the mean of the anchors, it does not gain by what it knows of the task.
    """
    other = _exchange(problem)
    x, query = problem.x[problem.match], problem.query[problem.match]
    weights = np.empty((problem.groups, len(problem)))
    weights[:, other] = ridge_weights(problem, x, query, problem.y[:, other][:, :, other], relative_lambda)
    return weights


def _exchange(problem: Problem) -> NDArray[np.int64]:
    """Draw the place that each anchor is paired with on Y, never its own; the lot falls on names, not on places."""
    count = len(problem)
    by_name = np.argsort(np.array(problem.anchors))
    draw, drawn = np.random.default_rng(problem.seed), np.arange(count)
    while count > 1 and (drawn == np.arange(count)).any():
        drawn = draw.permutation(count)
    other = np.empty(count, np.int64)
    other[by_name] = by_name[drawn]
    return other
