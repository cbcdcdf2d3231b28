"""Translation by a linear map between principal components, for each tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.components import components, inverse
from compute.adapters.method import translation_method

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Principal components, each tensor by itself",
    source="principal component regression: Massy 1965, https://doi.org/10.1080/01621459.1965.10480787",
    role="translation",
)
def pertensor_pca(problem: Problem, *, rank: int = 8, relative_lambda: float = 0.0) -> Floats:
    """Map the leading components of X's tensor linearly to those of Y's tensor, by least squares.

    The anchors' scores, Z_x and Z_y [n, k], are their coordinates along the k = min(n − 1, *rank*) leading principal
    components of either side, centred. The map M minimises ‖Z_x M − Z_y‖² + λ ‖M‖², which is
    M = (Z_xᵀ Z_x + λ I)⁻¹ Z_xᵀ Z_y with a diagonal inverse. With z [k] the scores of the adapter to be translated and
    v_j Y's components, ŷ = ȳ + Σ_j (z M)_j v_j. λ is *relative_lambda* times the mean of the k variances. With
    k = n − 1 and no λ this is the interpolation that a ridge regression tends to as its λ vanishes.
    """
    ours, theirs = components(problem.x, rank), components(problem.y, rank)
    variances = ours.sizes**2
    damped = inverse(variances + relative_lambda * variances.mean(axis=1, keepdims=True))
    scores = ours.scores_of(problem.query) * damped
    anchors, scores = ours.scores[problem.match], scores[problem.match]
    return theirs.weights(np.einsum("gk,gik,gil->gl", scores, anchors, theirs.scores))
