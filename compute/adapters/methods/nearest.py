"""Translation by copying the nearest anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.method import translation_method
from compute.adapters.similarity import nearest_anchors

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Copy of the nearest anchor",
    source="",
    role="baseline",
)
def nearest(problem: Problem, *, centred: bool = False) -> Floats:
    """Take the adapter of the anchor nearest to the task on X, by compute.adapters.similarity.cosines."""
    weights = np.zeros((problem.groups, len(problem)))
    weights[:, nearest_anchors(problem, 1, centred)] = 1
    return weights
