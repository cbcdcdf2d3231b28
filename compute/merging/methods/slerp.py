"""SLERP: from one expert to another along the arc between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.merging.method import merge_method
from compute.merging.sphere import lengths_and_cosines, shares
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(
    title="SLERP", paper="https://doi.org/10.1145/325334.325242", needs_base=False, affine=False, sources=(2, 2)
)
def slerp(vectors: TaskVectors, coefficients: Array, *, linear_above: float = 0.9995) -> Combine:
    """Merge each tensor to (sin((1 − t)Ω) θ₁ + sin(tΩ) θ₂) / sin Ω, t = w₂ / (w₁ + w₂) of the *coefficients* [2].

    Ω is the angle between the flattened weights θ₁ and θ₂ themselves, whose lengths are kept (Shoemake 1985). Where
    |cos Ω| > *linear_above*, or one of them is all zeros and has no direction, it is (1 − t) θ₁ + t θ₂.

    Agrees with `slerp` in mergekit, which has this limit, but takes an all-zero tensor to be at a right angle to the
    other. Experts fine-tuned from one base are nearly always closer than the limit: then SLERP is their average; a
    limit of 1 is `nuslerp` in mergekit without a base. For more experts see `karcher`, for task vectors `multislerp`.
    """
    lengths, cosines = lengths_and_cosines(vectors.gram())
    parts = shares(coefficients)
    angle = np.arccos(cosines[0, 1])
    if lengths.all() and abs(cosines[0, 1]) <= linear_above and np.sin(angle) > 0:
        # The part of an expert is that of the arc which it pulls the result along.
        parts = np.sin(parts * angle) / np.sin(angle)
    numbers = vectors.bring(parts)
    return lambda chunk: weighted_sum(chunk, numbers)
