"""Karcher mean: the mean of the experts on a sphere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.sphere import spherical_mean
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Karcher mean", paper="https://doi.org/10.1002/cpa.3160300502", needs_base=False, affine=False)
def karcher(vectors: TaskVectors, coefficients: Array, *, iterations: int = 100) -> Combine:
    """Merge each tensor to the Karcher mean of the experts' directions, times the mean of their lengths.

    The weights' directions uᵢ = θᵢ / |θᵢ| are points on a sphere; their mean m minimises Σ wᵢ ∠(m, uᵢ)². Of two experts
    of one length it is SLERP; of more, their order plays no part. Both means are weighted by *coefficients* [N]; see
    `compute.merging.sphere` for the steps, at most *iterations*, and where there is no mean. Tensors that are all zeros
    count for the length alone.

    `karcher` in mergekit is this with equal coefficients; it stops after 10 steps, or one below 1e-5 radians, and
    computes in fp32. `iterations=0` keeps the first guess, the direction of Σ wᵢ uᵢ: that is `multislerp` in mergekit
    without a base, whose one step in the tangent space at that guess has length 0 by construction.
    """
    numbers = vectors.bring(spherical_mean(vectors.gram(), coefficients, iterations))
    return lambda chunk: weighted_sum(chunk, numbers)
