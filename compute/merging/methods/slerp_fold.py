"""SLERP of many experts: one after the other, each along the arc to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from compute.merging.method import merge_method
from compute.merging.sphere import lengths_and_cosines, shares
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.sphere import Floats
    from compute.merging.vectors import TaskVectors


@merge_method(title="SLERP, folded", paper="https://doi.org/10.1145/325334.325242", needs_base=False, affine=False,
              sources=(2, None))  # fmt: skip
def slerp_fold(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    against: Literal["merged", "previous"] = "merged",
    linear_above: float = 0.9995,
) -> Combine:
    """Merge each tensor by SLERP, the experts one after the other, from the largest of the *coefficients* [N] on.

    The first expert is the first result; each next one, with coefficient w, moves the result by t = w / (W + w) of
    the arc to it, W the sum of the coefficients so far. Where all experts lie closer to each other than
    *linear_above*, a cosine, this is the weighted average. How far a step goes is as in `slerp`, with which it
    agrees for two experts. The order matters where they do not lie close: `karcher` has no order. Of equal
    coefficients the first given comes first.

    *against* = "previous" is what Erland366/merginguriel does: t = v / (v + w), with v the coefficient of the
    previous expert alone. That is the wrong way round, and forgets all but one: five equal coefficients count 1/16,
    1/16, 1/8, 1/4 and 1/2, and smaller ones, which come later, count more.
    """
    numbers = vectors.bring(_folded(vectors.gram(), shares(coefficients), against, linear_above))
    return lambda chunk: weighted_sum(chunk, numbers)


def _folded(gram: Floats, parts: Floats, against: str, linear_above: float) -> Floats:
    """Return the numbers [N] that add vectors with inner products *gram* [N, N] up to their fold."""
    first, *others = np.argsort(-parts, kind="stable")
    one = np.eye(len(parts))
    numbers: Floats = one[first]
    before = parts[first]
    for new in others:
        part = parts[new]
        t = part / (before + part) if against == "merged" else _published(before, part)
        pair = np.stack([numbers, one[new]])
        numbers = _step(pair @ gram @ pair.T, t, linear_above) @ pair
        before = before + part if against == "merged" else part
    return numbers


def _published(previous: float, part: float) -> float:
    """Return the share of the arc that the predecessor goes; half of it between two that count nothing."""
    return previous / (previous + part) if previous + part > 0 else 0.5


def _step(gram: Floats, t: float, linear_above: float) -> Floats:
    """Return the numbers [2] of two vectors with inner products *gram* [2, 2], *t* of the arc from the first."""
    parts: Floats = np.array([1 - t, t])
    lengths, cosines = lengths_and_cosines(gram)
    angle = np.arccos(cosines[0, 1])
    if lengths.all() and abs(cosines[0, 1]) <= linear_above and np.sin(angle) > 0:
        parts = np.sin(parts * angle) / np.sin(angle)
    return parts
