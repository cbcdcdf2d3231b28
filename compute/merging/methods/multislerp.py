"""Multi-SLERP: the mean of the task vectors on a sphere around the base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.sphere import spherical_mean
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Multi-SLERP", paper="https://goddard.blog/posts/multislerp-wow-what-a-cool-idea")
def multislerp(vectors: TaskVectors, coefficients: Array, *, iterations: int = 0) -> Combine:
    """Merge each tensor to θ₀ + m Σ wᵢ |τᵢ| / Σ wᵢ, m the direction of Σ wᵢ τᵢ / |τᵢ|.

    It is a mean of directions and a mean of lengths, weighted by *coefficients* [N] of any scale. The task vectors τᵢ
    of experts lie at large angles, their weights hardly at any: this keeps the length that an average loses.

    Agrees with `multislerp` in mergekit with a base (Goddard). With *iterations* m goes on from there to the Karcher
    mean, see `karcher`: of two experts of one length that is `nuslerp` in mergekit with a base. Where directions cancel
    out it is the weighted mean of the τᵢ; mergekit raises an error for more than two.
    """
    numbers = vectors.bring(spherical_mean(vectors.gram(), coefficients, iterations))
    return lambda chunk: weighted_sum(chunk, numbers)
