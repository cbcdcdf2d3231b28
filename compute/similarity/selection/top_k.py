"""Select the sources with the highest similarity to the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.similarity.ranking import best, check_request


def top_k(similarity: NDArray[np.float64], target: int, candidates: Sequence[int], k: int, *, seed: int) -> list[int]:
    """Choose the *k* candidates most similar to *target*, best first; the lower index wins a tie.

    *similarity* is [n, n], rows targets and columns sources. *candidates* leaves out the target where its
    own expert is excluded (ExcTar). *seed* has no effect: the choice is not random.
    Raises ValueError if there are fewer than *k* candidates.
    """
    check_request(similarity, target, candidates, k)
    return best(candidates, k, similarity[target])
