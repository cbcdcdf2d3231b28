"""Merge every source in proportion to its similarity to the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.merging.shares import shares


def similarity(similarity: NDArray[np.float64], target: int, sources: Sequence[int]) -> NDArray[np.float64]:
    """Return coefficients [k], summing to one, in proportion to the similarity of *target* to *sources*.

    *similarity* is [n, n], rows targets and columns sources. Similarities that lie close together, as URIEL's
    do, give coefficients close to uniform. Raises ValueError if one is negative or all are zero.
    """
    return shares(similarity[target, list(sources)], of="similarities to the target")
