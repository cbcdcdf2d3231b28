"""Turns non-negative numbers into shares of one. Knows not what they measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shares(weights: NDArray[np.float64], *, of: str) -> NDArray[np.float64]:
    """Divide *weights* [k] by their sum; *of* says in errors what they are.

    Raises ValueError if there is none, if one is negative or not finite, or if all are zero.
    """
    if not len(weights):
        raise ValueError(f"{of}: no sources to share between")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"{of} must be finite and non-negative, not {weights.tolist()}")
    if not weights.any():
        raise ValueError(f"{of} are zero for every source: choose other sources or another coefficient rule")
    divided: NDArray[np.float64] = weights / weights.sum()
    return divided
