"""The steps that merge methods are made of, named as in their papers. Knows rows of numbers, not models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def weighted_sum(task_vectors: Tensor, coefficients: Tensor) -> Tensor:
    """Return the sum [n] of the rows of *task_vectors* [N, n], each times its coefficient [N].

    Adds row by row and not by a matrix product, whose rounding depends on the machine and on n.
    """
    total = task_vectors.new_zeros(task_vectors.shape[1])
    for row, coefficient in zip(task_vectors, coefficients, strict=True):
        total += coefficient * row
    return total


def trim(task_vectors: Tensor, density: float) -> Tensor:
    """Keep the *density* largest share of each row of *task_vectors* [N, n] by magnitude; zero the others.

    With k = int(density * n), at least 1, every entry not smaller than the k-th largest is kept: exactly k
    without ties, and more where several entries tie for the last place. The code of the paper's authors keeps
    one more (it counts from the other end), PEFT and mergekit keep k and break ties arbitrarily. Step 1 of
    TIES, https://arxiv.org/abs/2306.01708. Raises ValueError unless 0 < density <= 1.
    """
    if not 0 < density <= 1:
        raise ValueError(f"density is the share of entries kept, in (0, 1], not {density}")
    trimmed = task_vectors.clone()
    if density < 1:
        keep = max(1, int(density * task_vectors.shape[1]))
        for row in trimmed:  # one at a time: the magnitudes of all rows would double the memory
            magnitude = row.abs()
            row.masked_fill_(magnitude < _kth_largest(magnitude, keep), 0)
    return trimmed


def elect_sign(task_vectors: Tensor) -> Tensor:
    """Return the sign [n], +1 or -1, of the sum of each column of *task_vectors* [N, n].

    Where a sum is zero, the sign that won more columns is taken; if neither did, the sign is 0 and nobody
    is elected. Step 2 of TIES, https://arxiv.org/abs/2306.01708.
    """
    sign = task_vectors.sum(dim=0).sign()
    majority = int((sign > 0).sum()) - int((sign < 0).sum())
    return sign.masked_fill(sign == 0, (majority > 0) - (majority < 0))


def disjoint_mean(task_vectors: Tensor, sign: Tensor, coefficients: Tensor) -> Tensor:
    """Average in each column of *task_vectors* [N, n] the entries that have the *sign* [n]; 0 where none has.

    The mean is weighted by *coefficients* [N], and divided by the sum of those that took part: their scale
    does not matter, and equal ones give the plain mean. Step 3 of TIES, https://arxiv.org/abs/2306.01708.
    """
    total = task_vectors.new_zeros(task_vectors.shape[1])
    weight = task_vectors.new_zeros(task_vectors.shape[1])
    for row, coefficient in zip(task_vectors, coefficients, strict=True):
        share = (row.sign() * sign > 0) * coefficient
        total += share * row
        weight += share
    return total / weight.masked_fill(weight == 0, 1)


def drop_and_rescale(task_vector: Tensor, keep: Tensor, drop_rate: float) -> Tensor:
    """Zero the entries of *task_vector* where *keep* is false and divide the others by 1 - *drop_rate*.

    If each entry is kept with that probability, the mean over draws is the task vector. The step of DARE,
    https://arxiv.org/abs/2311.03099. Raises ValueError unless 0 <= drop_rate < 1.
    """
    if not 0 <= drop_rate < 1:
        raise ValueError(f"drop rate is the share of entries dropped, in [0, 1), not {drop_rate}")
    return task_vector.masked_fill(~keep, 0) / (1 - drop_rate)


def _kth_largest(magnitude: Tensor, k: int) -> float:
    """Return the *k*-th largest entry of *magnitude* [n]."""
    place = magnitude.numel() - k
    if magnitude.device.type == "cpu":
        import numpy as np

        # The same number as kthvalue's, seven times as fast.
        return float(np.partition(magnitude.numpy(), place)[place])
    return float(magnitude.kthvalue(place + 1).values)
