"""Merge every source by its Sinkhorn weight, as the document does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.merging.shares import shares
from compute.sinkhorn import sinkhorn_weights


def sinkhorn(similarity: NDArray[np.float64], target: int, sources: Sequence[int]) -> NDArray[np.float64]:
    """Return coefficients [k], summing to one, in proportion to *target*'s Sinkhorn weights of *sources*.

    The weights are those of the whole matrix *similarity* [n, n] (rows targets, columns sources), restricted
    to the sources: see compute.sinkhorn. A source outside the target's 20 most similar has weight zero; where
    that is true of all sources the rule says nothing, and they get equal parts.
    """
    weights = sinkhorn_weights(similarity)[target, list(sources)]
    return shares(weights if weights.any() else np.ones(len(weights)), of="Sinkhorn weights for the target")
