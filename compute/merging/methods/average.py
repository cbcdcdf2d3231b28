"""Average: the mean of the experts, weighted by their coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Weighted average", paper="https://arxiv.org/abs/2203.05482", needs_base=False)
def average(vectors: TaskVectors, coefficients: Array) -> Combine:
    """Merge to Σ wᵢ θᵢ / Σ wᵢ: the mean of the experts, weighted by *coefficients* [N] of any scale.

    Model soups (Wortsman et al. 2022) with equal coefficients; `linear` with `normalize: true` in mergekit, with which
    it agrees.
    """
    return lambda chunk: weighted_sum(chunk, coefficients / coefficients.sum())
