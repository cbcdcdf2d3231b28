"""Fisher merging: each entry's mean over the experts, weighted by how much it matters to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(
    title="Fisher merging",
    paper="https://arxiv.org/abs/2111.09832",
    scope="model",
    needs_base=False,
    extras=("fisher",),
    data=("fisher",),
)
def fisher(vectors: TaskVectors, coefficients: Array, *, epsilon: float = 1e-6, normalise: bool = False) -> Combine:
    """Merge to Σ wᵢ (Fᵢ + ε) θᵢ / Σ wᵢ (Fᵢ + ε), entry by entry, with F the diagonal of the Fisher information.

    `vectors.data["fisher"]` holds the Fᵢ ≥ 0 of each source by its name: weights of the experts' names and shapes, as
    compute.models.fisher estimates them. *coefficients* [N] may be of any scale. Where ε is 0, an entry that
    matters to no expert is the weighted average. *epsilon* has the unit of F, a squared gradient: where it exceeds
    most of F, as its usual 1e-6 can, little remains but the average; choose a smaller one then.

    With *normalise* an expert's wᵢ is divided by ‖Fᵢ‖ + ε, the L2 norm over the whole model, so that no expert
    outweighs the others by the scale of its gradients alone.

    Matena & Raffel 2022, equation 4. `normalise` and ε are as in MergeLM (yule-BUAA/MergeLM), which normalises unless
    told otherwise. Raises ValueError for a negative epsilon.
    """
    if epsilon < 0:
        raise ValueError(f"epsilon is added to a Fisher information and must not be negative, as {epsilon} is")
    scales = coefficients * vectors.bring(_factors(vectors, epsilon)) if normalise else coefficients
    return lambda chunk, information: _mean(chunk, information + epsilon, scales, coefficients)


def _factors(vectors: TaskVectors, epsilon: float) -> NDArray[np.float64]:
    """Return 1 / (‖Fᵢ‖ + ε) of each source [N], scaled so that the largest is 1, in the range of float32."""
    norms = np.sqrt(vectors.sum(_squares, extras=("fisher",))) + epsilon
    known = norms > 0
    factors: NDArray[np.float64] = np.zeros_like(norms)
    np.divide(norms[known].min(initial=np.inf), norms, out=factors, where=known)
    return factors


def _mean(chunk: Array, importance: Array, scales: Array, coefficients: Array) -> Array:
    """Return the mean of *chunk* [N, …] weighted by *importance* [N, …] times *scales* [N].

    Where all of that is 0, weighted by *coefficients* [N]. Adds row by row, so that rounding does not depend on the
    size of the chunk.
    """
    xp = namespace(chunk)
    total = weight = xp.zeros_like(chunk[0])
    for values, row, scale in zip(chunk, importance, scales, strict=True):
        share = scale * row
        total, weight = total + share * values, weight + share
    average = weighted_sum(chunk, coefficients / coefficients.sum())
    return xp.where(weight > 0, total / xp.where(weight > 0, weight, xp.ones_like(weight)), average)


def _squares(_chunk: Array, information: Array) -> Any:
    """Return the sum of squares [N] of *information* [N, …], in float64: squares of small numbers vanish in float32."""
    xp = namespace(information)
    wide = xp.astype(information, xp.float64)
    return xp.sum((wide * wide).reshape((len(wide), -1)), axis=1)
