"""Consensus: keep of the summed task vectors what matters to several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Consensus task arithmetic", paper="https://arxiv.org/abs/2405.07813", neutral={"mask_lambda": 0.0})
def consensus(
    vectors: TaskVectors, coefficients: Array, *, mask_lambda: float = 0.4, agree: int = 2, scale: float = 1.0
) -> Combine:
    """Merge to θ₀ + *scale* · Σ wᵢ τᵢ where at least *agree* sources need an entry, to θ₀ elsewhere.

    A source t needs an entry where its TALL mask is set: |τₜ| ≥ *mask_lambda* · |Σ τᵢ − τₜ|, with the plain sum of
    the task vectors. A smaller λ sets more; at 0 every mask is set and this is task arithmetic. Entries that no
    source needs are called catastrophic, those of one source selfish. Of fewer than *agree* sources all must agree.

    Wang et al. 2024. The code of the authors (nik-dim/tall_masks) sets a mask where > holds, which differs at
    equality alone, chooses λ for each source among .2, .3, .4, .5 and .6 on validation data, sums with coefficients
    of 1 and searches the scale; it gives the base where fewer than *agree* sources are merged. Embeddings of tokens
    that one source alone has seen are selfish: see `seen_rows`. Raises ValueError for a λ below 0.
    """
    if mask_lambda < 0:
        raise ValueError(f"mask_lambda is the λ of the TALL masks, 0 or more, not {mask_lambda}")
    least = min(agree, len(vectors.sources))

    def combine(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        others = weighted_sum(chunk, xp.ones_like(coefficients)) - chunk
        needed = xp.abs(chunk) >= mask_lambda * xp.abs(others)
        merged = scale * weighted_sum(chunk, coefficients)
        return xp.where(xp.sum(needed, axis=0, dtype=xp.int32) >= least, merged, xp.zeros_like(merged))

    return combine
