"""The members' logits are summed by weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compute.evaluation.ensembles._votes import highest, members, probabilities, total


def weighted_logits(logits: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict [n] the class with the highest sum of *logits* [N, n, classes] times *weights* [N], of any scale.

    A member that is surer than the others counts for more, which `mean_probability` bounds. Of classes with equal
    sums the one with the larger weighted sum of probabilities wins, then the lower id. The mode `uriel_logits` of
    https://github.com/Erland366/merginguriel, whose weights are similarities to the target. Raises ValueError for
    logits that are not finite, and for weights that are negative or all zero.
    """
    found, parts = members(logits, weights)
    return highest(total(found, parts), total(probabilities(found), parts))
