"""Model stock: the average of the experts, pulled to the base by as much as they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.merging.method import merge_method
from compute.merging.sphere import lengths_and_cosines, shares
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Model stock", paper="https://arxiv.org/abs/2403.19522", sources=(2, None))
def model_stock(vectors: TaskVectors, coefficients: Array, *, clamp: bool = True) -> Combine:
    """Merge each tensor to θ₀ + t · Σ τᵢ / N with t = N cos θ / (1 + (N − 1) cos θ).

    Jang et al. 2024, equation 6: the point next to the centre of all possible experts, if all task vectors τᵢ have one
    length and one angle θ to each other; cos θ is the mean of those of all pairs. It replaces *coefficients* [N]: all
    experts count alike, and one of coefficient 0 is left out. With one expert left t is 1. A pair with a task vector of
    zeros has cosine 0.

    Task vectors that point away from each other, cos θ < 0, give t < 0, without limit where they nearly cancel out;
    *clamp* keeps the base there. Without it this agrees with `model_stock` in mergekit, except that it takes products
    of two lengths below 1e-6 for 1e-6, and so keeps nearly the base in tensors that moved less.
    """
    taking_part = shares(coefficients) > 0
    count = int(taking_part.sum())
    share = _share(vectors.gram()[taking_part][:, taking_part])
    numbers = vectors.bring((max(0.0, share) if clamp else share) / count * taking_part)
    return lambda chunk: weighted_sum(chunk, numbers)


def _share(gram: NDArray[np.float64]) -> float:
    """Return t, from the inner products [N, N] of the task vectors; 0 where they cancel out."""
    count = len(gram)
    if count == 1:
        return 1.0
    _, cosines = lengths_and_cosines(gram)
    cosine = float(cosines[np.triu_indices(count, 1)].mean())
    bottom = 1 + (count - 1) * cosine
    return 0.0 if bottom < 1e-6 else count * cosine / bottom
