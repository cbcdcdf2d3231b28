"""Scores of predictions against labels, and how sure one may be of a share. Knows arrays, not models."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def accuracy(expected: ArrayLike, predicted: ArrayLike) -> float:
    """Compute the share of equal entries, in [0, 1]; raises ValueError on no entries or unequal lengths."""
    truth, guess = _pair(expected, predicted)
    return float((truth == guess).mean())


def macro_f1(expected: ArrayLike, predicted: ArrayLike) -> float:
    """Compute the mean over classes of F1, in [0, 1]; a class counts if it occurs in either array."""
    import numpy as np

    truth, guess = _pair(expected, predicted)
    classes, positions = np.unique(np.concatenate([truth, guess]), return_inverse=True)
    true_class, guessed_class = np.split(positions, 2)
    hits = np.bincount(true_class[true_class == guessed_class], minlength=len(classes))
    occurrences = np.bincount(positions, minlength=len(classes))
    return float(np.mean(2 * hits / occurrences))


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Bound a share of *correct* out of *n* at confidence *level* (Wilson 1927): (low, high)."""
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"expected 0 <= correct <= n and n > 0, found correct={correct}, n={n}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = correct / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def _pair(expected: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy as np

    truth, guess = np.asarray(expected), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != guess.shape or not truth.size:
        raise ValueError(f"expected two lists of one length > 0, found shapes {truth.shape} and {guess.shape}")
    return truth, guess
