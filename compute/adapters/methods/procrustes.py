"""Translation by a rotation of principal components, for each tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.components import components, inverse
from compute.adapters.method import translation_method

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Procrustes, each tensor by itself",
    source="Schönemann 1966, https://doi.org/10.1007/BF02289451",
    role="translation",
)
def procrustes(problem: Problem, *, rank: int = 16, whiten: bool = False) -> Floats:
    """Turn and scale the leading components of X's tensor onto those of Y's tensor, as one rigid body.

    The anchors' scores, Z_x and Z_y [n, k], are their coordinates along the k = min(n − 1, *rank*) leading principal
    components of either side, centred. Of all orthogonal R and numbers s, those that minimise ‖s Z_x R − Z_y‖ are
    R = P Qᵀ and s = Σ_j d_j / ‖Z_x‖², with the singular values d of Z_xᵀ Z_y = P diag(d) Qᵀ. With z [k] the scores of
    the adapter to be translated and v_j Y's components, ŷ = ȳ + Σ_j s (z R)_j v_j. All distances change in one
    proportion, where a linear map may stretch each direction by itself.

    *whiten* divides every component by its own size on either side first, and multiplies by Y's afterwards.
    """
    ours, theirs = components(problem.x, rank), components(problem.y, rank)
    before, after = ours.inverse_sizes if whiten else np.ones(1), theirs.inverse_sizes if whiten else np.ones(1)
    z = (ours.scores * before[..., None, :])[problem.match]
    query = (ours.scores_of(problem.query) * before)[problem.match]
    left, sizes, right = np.linalg.svd(np.einsum("gik,gil->gkl", z, theirs.scores * after[..., None, :]))
    scale = sizes.sum(axis=1) * inverse(np.einsum("gik,gik->g", z, z))
    turned = scale[:, None] * np.einsum("gk,gkl,glm->gm", query, left, right)
    return theirs.weights(turned * theirs.sizes if whiten else turned)
