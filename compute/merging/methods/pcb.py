"""PCB: let the entries of the task vectors compete, within each and between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.merging.arrays import Array, Chunk, Combine, namespace
from compute.merging.method import TrimScope, merge_method
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.vectors import TaskVectors


@merge_method(title="PCB", paper="https://arxiv.org/abs/2410.02396", idempotent=False)
def pcb(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    density: float = 0.1,
    scale: float = 1.0,
    clip: float = 0.0001,
    trim_scope: TrimScope = "model",
) -> Combine:
    """Merge to θ₀ + *scale* · Σ wᵢ βᵢ τ̂ᵢ / Σ wᵢ βᵢ, where βᵢ [n] says how much an entry of source i counts.

    1. Clamp: τ̂ᵢ is τᵢ with its magnitudes clamped to those that are *clip* · n from the smallest and from the
       largest.
    2. Balance within a source: exp(N · x²), x the magnitude of τ̂ᵢ brought to [0, 1] by its least and its greatest.
       Balance between sources: tanh(τᵢ · Σⱼ τⱼ), negative where a source is at odds with the sum. The score is the
       product.
    3. Drop: βᵢ is 0 below the score that the *density* · n highest reach, and linear above it up to 1 for the
       highest.

    The ranks are of the whole model or of each tensor (`trim_scope`). Coefficients [N] count relative to each other.

    Du et al. 2024. This is the code of the authors (duguodong7/pcb-merging, pcb-merging.py: whole model, clip 0.0001,
    density 0.1 or 0.05, equal coefficients, a scale near 1.2 or searched for each source), where a β of the lowest
    entry kept is 0 too. The paper writes both balances as softmax over normalised products, and keeps β as it is; the
    authors' code for images normalises the summed vectors, with clip 0.01. Equal experts do not merge to themselves,
    as the lowest scores are dropped at any density. Raises ValueError unless 0 < density <= 1 and 0 <= clip < 0.5.
    """
    if not 0 < density <= 1 or not 0 <= clip < 0.5:
        raise ValueError(f"density is in (0, 1] and clip in [0, 0.5), not {density} and {clip}")
    magnitudes = _bounds(vectors, lambda chunk: namespace(chunk).abs(chunk), clip, clip)

    def score(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        total = weighted_sum(chunk, xp.ones_like(coefficients))
        within = _scaled(xp.abs(chunk), *magnitudes) ** 2
        # Half of N off the exponent, which changes all scores alike, keeps fp32 from overflowing for many sources.
        return xp.exp(len(chunk) * (within - 0.5)) * xp.tanh(chunk * total)

    scores = _bounds(vectors, score, 1 - density, 0.0)

    def combine(chunk: Chunk) -> Array:
        xp = namespace(chunk)
        balance = _scaled(score(chunk), *scores)
        total = weighted_sum(balance, coefficients)
        clamped = xp.sign(chunk) * _clamped(xp.abs(chunk), *magnitudes)
        merged = scale * weighted_sum(balance * clamped, coefficients)
        return merged / xp.where(total == 0, xp.ones_like(total), total)

    return combine


def _bounds(vectors: TaskVectors, score: Callable[[Chunk], Array], low: float, high: float) -> tuple[Array, Array]:
    """Return the scores [N, 1, 1] that are *low* · n above the lowest, and *high* · n below the highest."""
    count = len(vectors.sources)

    def twice(chunk: Chunk) -> Array:
        scores = score(chunk)
        return namespace(scores).concat([scores, scores])

    def rank(total: int, _: Any) -> Any:
        lowest = total - int(total * low)
        highest = total - max(0, int(total * (1 - high) - 1))
        return np.repeat(np.clip([lowest, min(lowest, highest)], 1, total), count)

    bounds = vectors.bring(vectors.kth_largest(twice, rank)).reshape((2, count, 1, 1))
    return bounds[0], bounds[1]


def _clamped(values: Array, low: Array, high: Array) -> Array:
    xp = namespace(values)
    return xp.minimum(xp.maximum(values, low), high)


def _scaled(values: Array, low: Array, high: Array) -> Array:
    """Clamp *values* to *low* and *high*, and bring them to [0, 1]; 0 where both are the same."""
    xp = namespace(values)
    span = high - low
    return (_clamped(values, low, high) - low) / xp.where(span == 0, xp.ones_like(span), span)
