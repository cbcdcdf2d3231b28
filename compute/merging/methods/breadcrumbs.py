"""Model breadcrumbs: add the task vectors without their outliers and without what hardly moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import trim_elect_merge, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors

    Limits = Callable[[Chunk], tuple[Array, Array]]

NOTHING = (float("inf"), 0.0)
"""Limits that no magnitude is within."""


@merge_method(
    title="Model breadcrumbs", paper="https://arxiv.org/abs/2312.06795", neutral={"density": 1.0, "gamma": 0.0}
)
def breadcrumbs(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    density: float = 0.9,
    gamma: float = 0.01,
    within: Literal["row", "tensor"] = "row",
    ties: bool = False,
    scale: float = 1.0,
) -> Combine:
    """Merge to θ₀ + *scale* · Σ wᵢ mᵢ τᵢ, where the mask mᵢ keeps the middle of the magnitudes of τᵢ.

    Of n entries the int(*gamma* · n) of the largest magnitude are dropped, and the next int(*density* · n) kept, with
    all that tie with the first or the last of these; of a few entries none may stay. *coefficients* [N] are not
    normalised. With *ties* the kept entries elect signs, weighted, and only those that agree are added.

    Davari and Belilovsky 2024, who call the share of small entries dropped β. The code of its authors
    (rezazzr/breadcrumbs) ranks `within` each "row" of the last dimension, a tensor of one dimension being one row; it
    leaves scalars alone, which are rows of one entry here. `breadcrumbs` and, with ties, `breadcrumbs_ties` in mergekit
    rank within the "tensor". Both keep exactly as many, whatever ties.

    Raises ValueError unless density > 0, gamma >= 0 and their sum is at most 1.
    """
    if not (density > 0 and gamma >= 0 and density + gamma <= 1 + 1e-9):
        raise ValueError(
            f"density, the share kept, and gamma, that of outliers, must be at most 1 together: {density}, {gamma}"
        )
    limits = _of_tensor(vectors, density, gamma) if within == "tensor" else _of_rows(density, gamma)

    def combine(chunk: Chunk) -> Array:
        kept = _middle(chunk, limits)
        if ties:
            return trim_elect_merge(kept, coefficients, votes=coefficients, divide="none", scale=scale)
        return scale * weighted_sum(kept, coefficients)

    return combine


def _ranks(entries: int, density: float, gamma: float) -> tuple[int, int]:
    """Return the first and the last place that is kept of that many *entries*, from 1 for the largest."""
    kept = int(density * entries)
    dropped = min(int(gamma * entries), entries - kept)
    return dropped + 1, dropped + kept


def _of_rows(density: float, gamma: float) -> Limits:
    """Return what tells the least and the largest magnitude [N, rows, 1] kept of each row of a chunk."""

    def limits(chunk: Chunk) -> tuple[Array, Array]:
        xp = namespace(chunk)
        first, last = _ranks(chunk.shape[2], density, gamma)
        if last < first:
            return NOTHING
        ordered = xp.sort(xp.abs(chunk), axis=2, stable=False)
        end = chunk.shape[2]
        return ordered[:, :, end - last : end - last + 1], ordered[:, :, end - first : end - first + 1]

    return limits


def _of_tensor(vectors: TaskVectors, density: float, gamma: float) -> Limits:
    """Return what tells the least and the largest magnitude [N, 1, 1] kept of each source in the scope."""
    count = len(vectors.sources)
    first, last = _ranks(vectors.size, density, gamma)
    if last < first:
        return lambda chunk: NOTHING

    def magnitudes(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        return xp.concat([xp.abs(chunk)] * 2)

    found = vectors.kth_largest(magnitudes, lambda total, nonzero: np.repeat([last, first], count))
    least, largest = vectors.bring(found).reshape((2, count, 1, 1))
    return lambda chunk: (least, largest)


def _middle(chunk: Chunk, limits: Limits) -> Chunk:
    """Zero the entries of *chunk* [N, rows, columns] whose magnitude is not within the *limits*."""
    xp = namespace(chunk)
    least, largest = limits(chunk)
    magnitude = xp.abs(chunk)
    return xp.where((magnitude >= least) & (magnitude <= largest), chunk, 0 * chunk)
