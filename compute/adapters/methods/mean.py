"""Translation by the mean of all anchors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.method import translation_method

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Mean of the anchors",
    source="the document's baseline",
    role="baseline",
)
def mean(problem: Problem) -> Floats:
    """Weigh all anchors alike, whatever the adapter to be translated is: what any translation has to beat."""
    return np.full((problem.groups, len(problem)), 1 / len(problem))
