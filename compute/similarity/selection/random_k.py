"""Select sources at random: the control that every other rule has to beat."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.similarity.ranking import check_request


def random_k(
    similarity: NDArray[np.float64], target: int, candidates: Sequence[int], k: int, *, seed: int
) -> list[int]:
    """Choose *k* candidates at random, in the order drawn; similarity plays no part.

    Each candidate draws its lot from (seed, target, candidate) alone. So the order of the candidates does
    not matter, a larger *k* adds to the choice of a smaller one, and one candidate less leaves the others.
    Raises ValueError if there are fewer than *k* candidates.
    """
    check_request(similarity, target, candidates, k)
    return sorted(candidates, key=lambda source: _lot(seed, target, source))[:k]


def _lot(seed: int, target: int, source: int) -> str:
    """Return the lot of one candidate: uniform, and the same on every machine."""
    return hashlib.sha256(f"{seed}:{target}:{source}".encode()).hexdigest()
