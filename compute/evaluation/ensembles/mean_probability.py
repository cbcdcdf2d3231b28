"""The members' probabilities are averaged by weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compute.evaluation.ensembles._votes import highest, members, probabilities, total


def mean_probability(logits: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict [n] the class with the highest weighted mean of softmax(*logits* [N, n, classes]), *weights* [N].

    With equal weights this is soft voting; weights may have any scale. Of classes with equal means the one with the
    larger weighted sum of logits wins, then the lower id. Kuncheva, Combining Pattern Classifiers, 2004, chapter
    5; the mode `soft` of https://github.com/Erland366/merginguriel. Raises ValueError for logits that are
    not finite, and for weights that are negative or all zero.
    """
    found, parts = members(logits, weights)
    return highest(total(probabilities(found), parts), total(found, parts))
