"""What the selection rules share: checking a request and taking the best. Knows no rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def check_request(similarity: NDArray[np.float64], target: int, candidates: Sequence[int], k: int) -> None:
    """Raise ValueError unless *k* different sources can be chosen for *target* from *candidates*.

    *similarity* is the matrix [n, n] (rows targets, columns sources) that *target* and *candidates* index.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be a square matrix, not of shape {similarity.shape}")
    if not np.isfinite(similarity).all():
        raise ValueError("similarity must be finite: a missing number cannot be ranked")
    if len(set(candidates)) != len(candidates):
        raise ValueError(f"candidates must differ from each other: {list(candidates)}")
    outside = [index for index in (target, *candidates) if not 0 <= index < len(similarity)]
    if outside:
        raise ValueError(f"target and candidates must lie in 0 to {len(similarity) - 1}, not {outside}")
    if k < 1:
        raise ValueError(f"k must be at least 1 source, not {k}")
    if k > len(candidates):
        raise ValueError(f"cannot choose {k} sources from {len(candidates)} candidates: lower k or add locales")


def best(candidates: Sequence[int], k: int, *scores: NDArray[np.float64]) -> list[int]:
    """Return the *k* candidates with the highest score, best first.

    *scores* are vectors [n] over all sources: each next one decides among ties in those before it, and the
    lower index decides at last.
    """
    return sorted(candidates, key=lambda source: (*(-float(vector[source]) for vector in scores), source))[:k]
