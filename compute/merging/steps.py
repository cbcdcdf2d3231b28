"""The steps that merge methods are made of, named as in their papers. Knows rows of numbers, not models.

What takes many small operations is written twice: here for any device, by the array API, and for numpy as one compiled
loop in `kernels`, which gives the same bits several times as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from compute.merging.arrays import Array, Chunk, is_numpy, namespace

if TYPE_CHECKING:
    from compute.merging.vectors import TaskVectors

_PIECE = 1 << 17
"""Entries that are worked on at a time: few enough for the cache of a core, and so many that threads, which wait for
each other between two operations, seldom do.
"""

Divide = Literal["weights", "count", "none"]
"""What the sum of the entries that agree is divided by: their coefficients, their number, or nothing."""


def weighted_sum(task_vectors: Chunk, coefficients: Array) -> Array:
    """Return the sum [...] of *task_vectors* [N, ...], each times its coefficient [N].

    Adds row by row and not by a matrix product, whose rounding depends on the machine and on the size.
    """
    total = namespace(task_vectors).zeros_like(task_vectors[0])
    if is_numpy(task_vectors):
        _add_rows(task_vectors.reshape(len(task_vectors), -1), coefficients, total.reshape(-1))
        return total
    for row, coefficient in zip(task_vectors, coefficients, strict=True):
        total += coefficient * row
    return total


def _add_rows(rows: Array, coefficients: Array, total: Array) -> None:
    """Add to *total* [n] in pieces that stay in the cache of a core: several times as fast as row by row.

    Not compiled: what compiles takes longer to import than an average to merge.
    """
    import numpy as np

    product = np.empty_like(total[:_PIECE])
    for start in range(0, len(total), _PIECE):
        piece = total[start : start + _PIECE]
        part = product[: len(piece)]
        for row, coefficient in zip(rows, coefficients, strict=True):
            np.multiply(row[start : start + _PIECE], coefficient, out=part)
            np.add(piece, part, out=piece)


def trim(task_vectors: Chunk, thresholds: Any) -> Chunk:
    """Zero the entries of *task_vectors* [N, ...] whose magnitude is below their row's threshold [N].

    Step 1 of TIES, https://arxiv.org/abs/2306.01708. Entries that tie with the threshold are kept.
    """
    xp = namespace(task_vectors)
    limits = xp.asarray(thresholds, dtype=task_vectors.dtype).reshape((-1, *[1] * (task_vectors.ndim - 1)))
    return xp.where(xp.abs(task_vectors) < limits, xp.zeros_like(task_vectors), task_vectors)


def elect_sign(task_vectors: Chunk, weights: Array | None = None, *, tie: float = 1.0) -> Array:
    """Return the sign [...], +1, -1 or 0, of the sum of each column of *task_vectors* [N, ...], each times its
    weight [N].

    Where a sum is zero, the sign is *tie*: 1 in PEFT and mergekit, the sign that won more columns of the model in
    the code of the paper's authors. Step 2 of TIES, https://arxiv.org/abs/2306.01708.
    """
    xp = namespace(task_vectors)
    ones = xp.ones(task_vectors.shape[0], dtype=task_vectors.dtype, device=task_vectors.device)
    total = weighted_sum(task_vectors, ones if weights is None else weights)
    sign = xp.sign(total)
    return xp.where(sign == 0, xp.full_like(sign, tie), sign)


def disjoint_merge(task_vectors: Chunk, sign: Array, coefficients: Array, divide: Divide = "weights") -> Array:
    """Add up in each column of *task_vectors* [N, ...] the entries of the *sign* [...], times their coefficients.

    The sum is divided by the sum of the *coefficients* [N] that took part ("weights": their scale does not matter,
    and equal ones give the plain mean), by their number ("count") or not at all ("none"). 0 where none has the sign.
    Step 3 of TIES, https://arxiv.org/abs/2306.01708.
    """
    if is_numpy(task_vectors):
        from compute.merging import kernels

        return _compiled(kernels.disjoint, task_vectors, coefficients, sign.reshape(-1), _MODES[divide])
    xp = namespace(task_vectors)
    total, weight = xp.zeros_like(sign), xp.zeros_like(sign)
    for row, coefficient in zip(task_vectors, coefficients, strict=True):
        agrees = row * sign > 0
        total = xp.where(agrees, total + coefficient * row, total)
        weight = xp.where(agrees, weight + (1 if divide == "count" else coefficient), weight)
    return total if divide == "none" else total / xp.where(weight == 0, xp.ones_like(weight), weight)


def trim_elect_merge(
    task_vectors: Chunk,
    coefficients: Array,
    *,
    thresholds: Any = None,
    votes: Array | None = None,
    tie: float = 1.0,
    divide: Divide = "weights",
    scale: float = 1.0,
) -> Array:
    """Do the three steps of TIES on *task_vectors* [N, ...]: `trim`, `elect_sign` by *votes* and `disjoint_merge`,
    times *scale*.
    """
    limits = thresholds if thresholds is not None else [0.0] * len(task_vectors)
    if is_numpy(task_vectors):
        import numpy as np

        from compute.merging import kernels

        limits = np.asarray(limits, dtype=task_vectors.dtype)
        return _compiled(kernels.ties, task_vectors, limits, votes, coefficients, tie, _MODES[divide], scale)
    kept = trim(task_vectors, limits)
    return scale * disjoint_merge(kept, elect_sign(kept, votes, tie=tie), coefficients, divide)


def majority_sign(vectors: TaskVectors, thresholds: Any, votes: Array | None) -> float:
    """Return the sign, +1, -1 or 0, that wins more entries of the scope when the trimmed *vectors* elect."""

    def lead(chunk: Chunk) -> Any:
        if is_numpy(chunk):
            import numpy as np

            from compute.merging import kernels

            return np.array([kernels.majority(chunk.reshape(len(chunk), -1), thresholds, votes)])
        return namespace(chunk).sum(elect_sign(trim(chunk, thresholds), votes, tie=0.0)).reshape(1)

    won = float(vectors.sum(lead)[0])
    return float((won > 0) - (won < 0))


_MODES = {"weights": 0, "count": 1, "none": 2}


def _compiled(kernel: Any, task_vectors: Chunk, *rest: Any) -> Array:
    import numpy as np

    out = np.empty(task_vectors.shape[1:], dtype=task_vectors.dtype)
    kernel(task_vectors.reshape(len(task_vectors), -1), *rest, out.reshape(-1))
    return out
