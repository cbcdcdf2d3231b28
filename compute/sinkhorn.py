"""The document's weighting rule: keep the best of each row, then Sinkhorn. Knows matrices, not locales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sinkhorn_weights(
    similarity: NDArray[np.float64], *, keep: int = 20, iterations: int = 20, epsilon: float = 1e-9
) -> NDArray[np.float64]:
    """Turn a similarity matrix [n, n] (rows targets, columns sources) into the document's weights [n, n].

    Entries below the *keep*-th largest of their row become zero (ties with it stay; the diagonal competes
    like any other entry), then rows and columns are divided by their sums, *iterations* times in turn.

    The last step divides columns, so that rows do not sum to one: a column's sum is the source's popularity,
    and a source that many targets resemble ends with less weight than one that few do. That is the rule
    as the document's predecessor runs it; it is kept because the document's results depend on it.

    Raises ValueError unless the matrix is square, finite and non-negative and *keep* is at least 1.
    """
    _require_similarity(similarity)
    if keep < 1:
        raise ValueError(f"keep must be at least 1 entry a row, not {keep}")
    weights = np.where(similarity >= _row_thresholds(similarity, keep), similarity, 0.0)
    for _ in range(iterations):
        weights = weights / (weights.sum(axis=1, keepdims=True) + epsilon)
        weights = weights / (weights.sum(axis=0, keepdims=True) + epsilon)
    return weights


def _row_thresholds(similarity: NDArray[np.float64], keep: int) -> NDArray[np.float64]:
    """Return the *keep*-th largest value of each row [n, 1]; the smallest where the row is shorter."""
    place = max(similarity.shape[1] - keep, 0)
    return np.partition(similarity, place, axis=1)[:, place, None]


def _require_similarity(similarity: NDArray[np.float64]) -> None:
    """Raise ValueError unless *similarity* is a square matrix of finite, non-negative numbers."""
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be a square matrix, not of shape {similarity.shape}")
    if not np.isfinite(similarity).all() or (similarity < 0).any():
        raise ValueError("similarity must be finite and non-negative: Sinkhorn divides by its sums")
