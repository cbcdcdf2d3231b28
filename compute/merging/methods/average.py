"""Average: the mean of the experts, weighted by their coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from torch import Tensor


@merge_method(title="Weighted average", paper="https://arxiv.org/abs/2203.05482", needs_base=False)
def average(task_vectors: Tensor, coefficients: Tensor) -> Tensor:
    """Return the mean [n] of *task_vectors* [N, n], weighted by *coefficients* [N] of any scale."""
    return weighted_sum(task_vectors, coefficients) / coefficients.sum()
