"""Every member has one vote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compute.evaluation.ensembles._votes import highest, members, probabilities, total, votes


def majority(logits: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict [n] the class that most members put first, from their *logits* [N, n, classes]; *weights* play no part.

    Of classes with equal votes the one with the larger sum of probabilities over all members wins, then the
    lower id. Plurality voting: Kuncheva, Combining Pattern Classifiers, 2004, chapter 4; the mode `majority` of
    https://github.com/Erland366/merginguriel. Raises ValueError for logits that are not finite.
    """
    found, _ = members(logits, np.ones(len(logits)))
    equal = np.full(len(found), 1 / len(found))
    return highest(votes(found, equal), total(probabilities(found), equal))
