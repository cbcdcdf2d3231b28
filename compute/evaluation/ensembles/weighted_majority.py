"""Every member has as much of a vote as its weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compute.evaluation.ensembles._votes import highest, members, probabilities, total, votes


def weighted_majority(logits: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict [n] the class whose voters weigh most, from *logits* [N, n, classes] and *weights* [N] of any scale.

    Of classes with equal votes (shares of all weights, to twelve decimals) the one with the larger weighted sum of
    probabilities wins, then the lower id. Kuncheva, Combining Pattern Classifiers, 2004, chapter 4; the mode
    `weighted_majority` of https://github.com/Erland366/merginguriel. Raises ValueError for logits that are not
    finite, and for weights that are negative or all zero.
    """
    found, parts = members(logits, weights)
    return highest(votes(found, parts), total(probabilities(found), parts))
