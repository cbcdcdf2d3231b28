"""TIES: trim small changes, elect a sign, average what agrees with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from compute.merging.method import Over, TrimScope, merge_method
from compute.merging.steps import Divide, majority_sign, trim_elect_merge

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="TIES", paper="https://arxiv.org/abs/2306.01708", neutral={"density": 1.0})
def ties(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    density: float = 0.2,
    scale: float = 1.0,
    trim_scope: TrimScope = "model",
    density_over: Over = "all",
    one_more: bool = False,
    elect: Literal["equal", "weighted"] = "equal",
    tie: Literal["majority", "positive"] = "majority",
    divide: Divide = "weights",
) -> Combine:
    """Trim the task vectors τᵢ [N, n], elect a sign for each entry, and merge what agrees, times *scale*.

    1. Trim: of each τᵢ the k = max(1, int(*density* · n)) entries of the largest magnitude are kept, with all that tie
       for the last place; n counts *all* entries or the *nonzero* ones (`density_over`) of the whole model or of
       each tensor (`trim_scope`). *one_more* keeps k + 1.
    2. Elect: the sign of the sum of the trimmed entries, "equal" or "weighted" by *coefficients* [N]. Where the
       sum is 0, the sign that won more entries of the scope ("majority") or + ("positive").
    3. Merge the entries of that sign: Σ wᵢ τᵢ divided by the *weights* Σ wᵢ that agree, by their *count*, or by "none".

    Yadav et al. 2023, section 3. The code of its authors (prateeky2806/ties-merging) trims the whole model with
    `one_more`, elects with equal weights and takes the majority at ties; equal coefficients give its disjoint mean.
    PEFT trims each tensor, elects with equal weights and divides by the count, so that coefficients of 1/N shrink
    the result N times; mergekit trims each tensor, elects weighted and divides by the weights. Both keep exactly k,
    whatever ties. The scopes differ much where large tensors hardly moved, as word embeddings do. Raises ValueError
    unless 0 < density <= 1.
    """
    thresholds = vectors.thresholds(density, over=density_over, one_more=one_more)
    votes = coefficients if elect == "weighted" else None
    sign_at_ties = majority_sign(vectors, thresholds, votes) if tie == "majority" else 1.0
    return lambda chunk: trim_elect_merge(
        chunk, coefficients, thresholds=thresholds, votes=votes, tie=sign_at_ties, divide=divide, scale=scale
    )
