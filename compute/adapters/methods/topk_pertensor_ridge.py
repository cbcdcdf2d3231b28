"""Translation by a ridge regression on the nearest anchors, each tensor by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.method import translation_method
from compute.adapters.ridge import ridge_weights
from compute.adapters.similarity import nearest_anchors

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Ridge on the nearest anchors, each tensor by itself",
    source="the document",
    role="translation",
)
def topk_pertensor_ridge(
    problem: Problem, *, k: int = 8, centred: bool = False, relative_lambda: float = 0.01
) -> Floats:
    """Do as pertensor_ridge with the *k* nearest anchors alone, all if there are fewer; the others weigh 0.

    Nearness is compute.adapters.similarity.cosines of the whole adapter on X: raw, as in the document, or *centred*.
    """
    chosen = np.sort(nearest_anchors(problem, k, centred))
    near, weights = problem.restricted(chosen), np.zeros((problem.groups, len(problem)))
    match = near.match
    weights[:, chosen] = ridge_weights(near, near.x[match], near.query[match], near.y, relative_lambda)
    return weights
