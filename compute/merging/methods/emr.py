"""EMR: the unified task vector, masked and rescaled for one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compute.errors import unknown
from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import elect_sign

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="EMR", paper="https://arxiv.org/abs/2405.17461", scope="model")
def emr(vectors: TaskVectors, coefficients: Array, *, target: str = "") -> Combine:
    """Merge to θ₀ + λₜ · Mₜ ⊙ τ_uni, the model for the task t of one source, named by *target*.

    1. Elect: τ_uni has the sign of Σ τᵢ, and the largest magnitude among the task vectors of that sign.
    2. Mask: Mₜ keeps the entries whose sign τₜ has.
    3. Rescale: λₜ = Σ|τₜ| / Σ|Mₜ ⊙ τ_uni|, both over the whole model; 1 where nothing is kept.

    The mask and the rescaler are known for tasks that a source was trained on alone: as a result for another task this
    is no fair method, for a target that is among the sources an upper bound. Without a *target* it is the source with
    the largest of the *coefficients* [N], by name where several tie; they have no other part.

    Huang et al. 2024. The code of the authors (harveyhuang18/EMR_Merging) takes − where the sum is 0, and 0 here
    as in the paper; its λₜ divides sums over tensors of *means* over entries, so that a bias weighs as much as the
    embeddings, where the paper's sums over entries are used here. Raises UsageError for a target that is no source.
    """
    own = _index(vectors.sources, coefficients, target)

    def masked(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        sign = elect_sign(chunk, tie=0.0)
        agreeing = chunk * sign > 0
        largest = xp.max(xp.where(agreeing, xp.abs(chunk), xp.zeros_like(chunk)), axis=0)
        return xp.where(agreeing[own], sign * largest, xp.zeros_like(largest))

    def lengths(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        return xp.stack([xp.sum(xp.abs(each), dtype=xp.float64) for each in (chunk[own], masked(chunk))])

    length, kept = vectors.sum(lengths)
    rescaler = float(length / kept) if kept else 1.0
    return lambda chunk: rescaler * masked(chunk)


def _index(sources: Sequence[str], coefficients: Array, target: str) -> int:
    """Return which of *sources* is the *target*; without one, that of the largest coefficient, first by name."""
    if target and target not in sources:
        raise unknown("target of emr", target, sources)
    return sources.index(target) if target else min((-float(c), sources[n], n) for n, c in enumerate(coefficients))[2]
