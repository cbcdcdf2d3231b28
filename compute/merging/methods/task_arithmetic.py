"""Task arithmetic: add the task vectors, each times its coefficient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Task arithmetic", paper="https://arxiv.org/abs/2212.04089")
def task_arithmetic(vectors: TaskVectors, coefficients: Array, *, scale: float = 1.0) -> Combine:
    """Merge to θ₀ + *scale* · Σ wᵢ τᵢ, the sum of the task vectors τᵢ = θᵢ − θ₀, each times its coefficient.

    With *coefficients* [N] that sum to one and a scale of 1 this is the weighted average; the paper (Ilharco et al.
    2023, equation 2) adds task vectors with coefficients of 1 and searches the scale, often between 0.3 and 0.5. A
    negative scale takes away what the experts have learnt. Agrees with PEFT's and, with `normalize: false`, mergekit's.
    """
    return lambda chunk: scale * weighted_sum(chunk, coefficients)
