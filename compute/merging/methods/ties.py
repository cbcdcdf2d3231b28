"""TIES: trim small changes, elect a sign, average what agrees with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import TrimScope, merge_method
from compute.merging.steps import disjoint_mean, elect_sign, trim

if TYPE_CHECKING:
    from torch import Tensor


@merge_method(title="TIES", paper="https://arxiv.org/abs/2306.01708")
def ties(
    task_vectors: Tensor,
    coefficients: Tensor,
    *,
    density: float = 0.2,
    scale: float = 1.0,
    trim_scope: TrimScope = "model",
) -> Tensor:
    """Return *scale* times the TIES merge [n] of *task_vectors* [N, n], keeping the *density* share of each.

    Signs are elected without coefficients, as by the paper's authors; *coefficients* [N] weight the mean of
    the entries that agree. *trim_scope* says what the caller passes as a row: "model", all parameters
    together, as by the paper's authors, or "tensor", each tensor by itself, as in PEFT and mergekit. The two
    differ much where large tensors hardly moved, such as the word embeddings of a multilingual model.
    Raises ValueError unless 0 < density <= 1.
    """
    trimmed = trim(task_vectors, density)
    return scale * disjoint_mean(trimmed, elect_sign(trimmed), coefficients)
