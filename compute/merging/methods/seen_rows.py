"""Seen rows: average each row over the sources that moved it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Mean over the sources that saw a row", paper="")
def seen_rows(vectors: TaskVectors, coefficients: Array) -> Combine:
    """Merge each row to θ₀ + Σ wᵢ τᵢ / Σ wᵢ, both over the sources whose row differs from the base's at all.

    Rows that none moved, or none with a coefficient above 0, stay the base's. A row of the word embeddings is a
    token: an expert fine-tuned without weight decay moves the rows of the tokens in its data and no other, so that in
    the plain mean a token of one language shrinks back to the base by the number of the others. Only the ratios of
    the *coefficients* [N] count. A tensor of one dimension is one row, and one of more has rows along the last. After
    weight decay, which moves every row, this is the weighted average.
    """

    def combine(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        moved = xp.astype(xp.any(chunk != 0, axis=-1), chunk.dtype)
        weight = weighted_sum(moved, coefficients)[:, None]
        # Rows that did not move are zeros, and add nothing.
        return weighted_sum(chunk, coefficients) / xp.where(weight == 0, xp.ones_like(weight), weight)

    return combine
