"""SCE: select what varies, calculate how much each expert counts, erase minority signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import trim_elect_merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="SCE", paper="https://arxiv.org/abs/2408.07990", sources=(2, None), neutral={"density": 1.0})
def sce(vectors: TaskVectors, coefficients: Array, *, density: float = 0.1, least_energy: float = 0.0) -> Combine:
    """Merge what varies most between the task vectors τᵢ [N, n] of each tensor.

    1. Select the k = int(*density* · m) entries with the largest variance between experts, with all that tie for the
       last place; m counts the entries that vary at all, so that of a few none may stay. At a density of 1: all.
    2. Calculate how much each expert counts: wᵢ = cᵢ Eᵢ / Σ cⱼ Eⱼ, Eᵢ = Σ τᵢ² over the selected entries.
    3. Erase the entries that have not the sign of their sum Σ τᵢ (+ where it is 0), and merge the others to
       Σ wᵢ τᵢ / Σ wᵢ.

    Wan et al. 2024, section 3.3. The energies take the place of coefficients; *coefficients* cᵢ [N] multiply them, so
    equal ones are the paper's method; they play no part in the first step and in the election.

    `sce` in mergekit is this with equal wᵢ where the mean of τᵢ² over all entries, summed over experts, is below 1e-6,
    which is so in most tensors of fine-tuned models: *least_energy* is that limit. It keeps exactly k, whatever ties.
    FuseAI's code selects only to calculate wᵢ and merges all entries. Raises ValueError unless 0 < density <= 1.
    """
    if not 0 < density <= 1:
        raise ValueError(f"density is the share of the varying entries that are selected, in (0, 1], not {density}")
    select = _selection(vectors, density)
    energies = vectors.sum(lambda chunk: _energies(select(chunk)))
    if energies.sum() <= least_energy * vectors.size:
        energies = np.ones_like(energies)
    weights = coefficients * vectors.bring(energies / energies.sum())
    return lambda chunk: trim_elect_merge(select(chunk), weights)


def _selection(vectors: TaskVectors, density: float) -> Callable[[Chunk], Chunk]:
    """Return what zeroes the entries [N, ...] of a chunk that are not selected."""
    if density == 1:
        return lambda chunk: chunk

    selected = 0

    def rank(total: int, varying: NDArray[np.int64]) -> NDArray[np.int64]:
        nonlocal selected
        selected = int(density * varying[0])
        return np.array([max(1, selected)])

    limit = float(vectors.kth_largest(_spread, rank)[0])
    if not selected:
        return lambda chunk: 0 * chunk

    def select(chunk: Chunk) -> Chunk:
        spread = _spread(chunk)
        return namespace(chunk).where((spread >= limit) & (spread > 0), chunk, 0 * chunk)

    return select


def _spread(chunk: Chunk) -> Array:
    """Return the standard deviation [1, ...] between the sources, which ranks like the variance.

    By way of float64, where squares of small numbers are not lost, and from the first source's entries, so that it
    is exactly 0 where all are equal. Added up one by one: libraries differ in how they sum.
    """
    xp = namespace(chunk)
    apart = [xp.astype(row - chunk[0], xp.float64) for row in chunk]
    mean = sum(apart) / len(apart)
    variance = sum((row - mean) ** 2 for row in apart) / len(apart)
    return xp.astype(xp.sqrt(variance), chunk.dtype)[None]


def _energies(chunk: Chunk) -> Array:
    """Return the sum of squares [N] of each source."""
    xp = namespace(chunk)
    return xp.sum(xp.astype(chunk, xp.float64) ** 2, axis=(1, 2))
