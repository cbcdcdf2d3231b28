"""Merge every source in equal parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.merging.shares import shares


def uniform(similarity: NDArray[np.float64], target: int, sources: Sequence[int]) -> NDArray[np.float64]:
    """Return equal coefficients [k] for *sources*, summing to one; similarity and target play no part.

    Raises ValueError if there are no sources.
    """
    return shares(np.ones(len(sources)), of="uniform coefficients")
