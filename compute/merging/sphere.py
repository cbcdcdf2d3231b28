"""Means of vectors as directions and lengths, from nothing but their inner products. Knows no tensor and no method.

All is in float64, on arrays as small as the number of vectors: a mean is told as the numbers to add the vectors with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_OPPOSED = 1e-6
"""The length of a mean of unit vectors below which they cancel out, and it has no direction."""

_OPPOSITE = -1 + 1e-6
"""The cosine with the mean below which a vector lies opposite, where no way to it is the shortest: it does not pull."""

_STILL = 1e-12
"""The step, in radians, below which a mean has arrived."""


def shares(coefficients: Any) -> Floats:
    """Return *coefficients* [N], an array of any library, divided by their sum, in float64."""
    numbers: Floats = np.array([float(number) for number in coefficients])
    numbers /= numbers.sum()
    return numbers


def lengths_and_cosines(gram: ArrayLike) -> tuple[Floats, Floats]:
    """Return the lengths [N] and the cosines [N, N] of vectors with inner products *gram* [N, N].

    A vector of length 0 has no direction: its cosine with any vector is 0.
    """
    products = np.asarray(gram, dtype=np.float64)
    lengths = np.sqrt(np.maximum(np.diagonal(products), 0))
    inverse = np.where(lengths > 0, 1 / np.where(lengths > 0, lengths, 1), 0)
    return lengths, np.clip(products * inverse[:, None] * inverse, -1, 1)


def spherical_mean(gram: ArrayLike, coefficients: Any, iterations: int) -> Floats:
    """Return the numbers [N] that add vectors up to their mean on the sphere, times their mean length.

    Both means are weighted by *coefficients* [N] of any scale. The direction is the Karcher (Fréchet) mean of the unit
    vectors uᵢ, Karcher 1977, https://doi.org/10.1002/cpa.3160300502: from m = Σ wᵢ uᵢ / |Σ wᵢ uᵢ| it takes the steps
    m ← exp_m(Σ wᵢ log_m(uᵢ)), at most *iterations*. Every m is a sum of the uᵢ, so their cosines tell all. Where the
    uᵢ cancel out, there is no such mean, and the plain weighted mean of the vectors is told. Raises ValueError for
    negative *iterations*.
    """
    if iterations < 0:
        raise ValueError(f"iterations is the largest number of steps, 0 or more, not {iterations}")
    lengths, cosines = lengths_and_cosines(gram)
    parts = shares(coefficients)
    directed = parts * (lengths > 0)
    if _length(directed, cosines) <= _OPPOSED * directed.sum():
        return parts
    mean = _karcher(directed / directed.sum(), cosines, iterations)
    return mean * (parts @ lengths) / np.where(lengths > 0, lengths, 1)


def _karcher(parts: Floats, cosines: Floats, iterations: int) -> Floats:
    """Return the mean of the unit vectors as numbers [N] to add them with."""
    mean = parts / _length(parts, cosines)
    for _ in range(iterations):
        towards = np.clip(cosines @ mean, -1, 1)
        opposite = towards <= _OPPOSITE
        angles = np.where(opposite, 0.0, np.arccos(towards))
        logs = np.where(opposite, 0.0, parts / np.sinc(angles / np.pi))
        step = logs - (logs @ towards) * mean
        angle = _length(step, cosines)
        if angle <= _STILL:
            break
        mean = np.cos(angle) * mean + np.sinc(angle / np.pi) * step
        mean /= _length(mean, cosines)
    return mean


def _length(numbers: Floats, cosines: Floats) -> float:
    """Return the length of the sum of the unit vectors, each times its number."""
    square = float(numbers @ cosines @ numbers)
    return float(np.sqrt(max(0.0, square)))
