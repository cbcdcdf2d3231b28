"""Select sources by their Sinkhorn weight, as the document does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.similarity.ranking import best, check_request
from compute.sinkhorn import sinkhorn_weights


def sinkhorn(
    similarity: NDArray[np.float64], target: int, candidates: Sequence[int], k: int, *, seed: int
) -> list[int]:
    """Choose the *k* candidates with the largest Sinkhorn weight for *target*, best first.

    The weights are those of the whole matrix *similarity* [n, n] (rows targets, columns sources), whatever
    the candidates: they favour sources that few other targets resemble, see compute.sinkhorn. Similarity,
    then the lower index decide between equal weights, such as the zeros of sources that the rule dropped.
    *seed* has no effect. Raises ValueError if there are fewer than *k* candidates.
    """
    check_request(similarity, target, candidates, k)
    return best(candidates, k, sinkhorn_weights(similarity)[target], similarity[target])
