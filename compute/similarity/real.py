"""REAL: similarity as measured transfer between locales. Knows the matrix of scores, not how it was made."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

TransferMatrix: TypeAlias = NDArray[np.float64]
"""scores[source, target]: accuracy, 0 to 1, of the expert of locale *source* on locale *target*."""

SimilarityMatrix: TypeAlias = NDArray[np.float64]
"""similarity[target, source]: how much *target* is expected to gain from the expert of *source*."""


def similarity(scores: TransferMatrix) -> SimilarityMatrix:
    """Read similarity from a transfer matrix [n, n]: similarity[target, source] = scores[source, target].

    The row of a target so holds what every source's expert does *on the target*. Reading the transfer matrix
    by its rows, as the document's predecessor does, asks instead where the target's own expert does well.
    Pass accuracies on the development split: choosing sources by the split that is reported on leaks it.

    Raises ValueError unless *scores* is square and every entry a number from 0 to 1.
    """
    _require_transfer(scores)
    return np.ascontiguousarray(scores.T, dtype=np.float64)


def transposed(scores: TransferMatrix) -> SimilarityMatrix:
    """Read similarity the wrong way round, as the document's predecessor does: similarity[t, s] = scores[t, s].

    Erland366/merginguriel (similarity_utils.py) takes the row of the target from its matrix of experts by locales on
    which they were measured: so it ranks sources by what the *target's own* expert does on them. That expert is just
    what ExcTar leaves out, and says nothing of what the sources do on the target. To compare with published
    results only. Raises ValueError as `similarity` does.
    """
    _require_transfer(scores)
    return np.array(scores, dtype=np.float64)


def _require_transfer(scores: TransferMatrix) -> None:
    """Raise ValueError unless *scores* is a square matrix of accuracies."""
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"a transfer matrix is square (sources by targets), not of shape {scores.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a transfer matrix holds accuracies from 0 to 1; found others or missing ones")
