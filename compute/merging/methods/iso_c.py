"""Iso-C: give all directions of the summed task vectors the same strength."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.spectra import is_matrix, svd
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Merged
    from compute.merging.vectors import TaskVectors


@merge_method(title="Iso-C", paper="https://arxiv.org/abs/2502.04959", idempotent=False)
def iso_c(vectors: TaskVectors, coefficients: Array, *, scale: float = 1.0) -> Merged:
    """Merge a matrix to θ₀ + *scale* · σ̄ U Vᵀ, where U diag(σ) Vᵀ = Σ wᵢ τᵢ and σ̄ is the mean of all min(m, n) σ.

    Any other tensor, and the word embeddings, get *scale* times the mean of the task vectors, weighted by the
    *coefficients* [N]. Each matrix is held in memory as a whole, once for each source.

    Marczak et al. 2025; danielm1405/iso-merging, and FusionBench. The authors sum with coefficients of 1 and search
    the scale (α) on validation data; with coefficients that sum to one, matrices come out N times shorter. They treat
    all matrices so but CLIP's text projection, and divide σ evenly among directions of σ = 0 too, which nothing
    determines: here these get nothing. Equal experts do not merge to themselves, as their singular values are
    levelled.
    """
    if not is_matrix(vectors.tensor):
        shares = coefficients / coefficients.sum()
        return lambda chunk: scale * weighted_sum(chunk, shares)
    total = weighted_sum(vectors.whole(), coefficients)
    xp = namespace(total)
    left, values, right = svd(total)
    return xp.astype(scale * xp.mean(values) * left @ right, total.dtype)
