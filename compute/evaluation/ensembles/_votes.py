"""What the rules share: checked members, probabilities, sums without an order, ties. Knows no rule."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def members(logits: NDArray[np.float32], weights: Numbers) -> tuple[Numbers, Numbers]:
    """Return *logits* [N, n, classes] as float64, and the *weights* [N] divided by their sum.

    Raises ValueError for other shapes, for weights that are negative or all zero, and for what is not finite.
    """
    found, parts = np.asarray(logits, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if found.ndim != 3 or parts.shape != found.shape[:1]:
        raise ValueError(
            f"expected logits [members, examples, classes] and a weight a member, found {found.shape} and {parts.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError("the logits of a member are not finite: it cannot vote")
    if not np.isfinite(parts).all() or (parts < 0).any() or not parts.any():
        raise ValueError(f"weights must be finite, non-negative and not all zero, found {parts.tolist()}")
    return found, parts / math.fsum(parts)


def probabilities(logits: Numbers) -> Numbers:
    """Compute the softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Numbers = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def total(scores: Numbers, weights: Numbers) -> Numbers:
    """Sum *scores* [N, n, classes] times *weights* [N] over the members: [n, classes].

    Addends are added from the smallest up, so that the order of the members does not show in the last digit.
    """
    summed: Numbers = np.sort(weights[:, None, None] * scores, axis=0).sum(axis=0)
    return summed


def votes(logits: Numbers, weights: Numbers) -> Numbers:
    """Give each class the *weights* [N] of the members that put it first: [n, classes], to twelve decimals.

    Of equal logits of one member the lower id is first.
    """
    classes = np.arange(logits.shape[-1])
    ballots = (logits.argmax(axis=-1)[..., None] == classes).astype(np.float64)
    return np.round(total(ballots, weights), 12)


def highest(scores: Numbers, then: Numbers) -> NDArray[np.int64]:
    """Choose the class with the highest of *scores* [n, classes]; among equals by *then*, then the lower id."""
    tied = scores == scores.max(axis=-1, keepdims=True)
    chosen: NDArray[np.int64] = np.where(tied, then, -np.inf).argmax(axis=-1).astype(np.int64)
    return chosen
