"""Task arithmetic: add the task vectors, each times its coefficient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor


@merge_method(title="Task arithmetic", paper="https://arxiv.org/abs/2212.04089")
def task_arithmetic(task_vectors: Tensor, coefficients: Tensor, *, scale: float = 1.0) -> Tensor:
    """Return *scale* times the sum [n] of *task_vectors* [N, n], each times its coefficient [N].

    With coefficients that sum to one and a scale of 1 this is the weighted average; the paper adds task
    vectors with coefficients of 1 and searches the scale, often between 0.3 and 0.5. A negative scale
    takes away what the experts have learnt.
    """
    return scale * weighted_sum(task_vectors, coefficients)
