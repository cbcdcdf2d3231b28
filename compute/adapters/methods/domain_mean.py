"""Translation by the mean of the task's own domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.method import translation_method

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Mean of the domain's anchors",
    source="the document's pools of anchors, of the matching domain",
    role="baseline",
)
def domain_mean(problem: Problem) -> Floats:
    """Weigh the anchors of the task's domain alike and the others not at all; all alike if the domain has none."""
    chosen = np.array([domain == problem.domain for domain in problem.domains])
    chosen = chosen if chosen.any() else ~chosen
    return np.tile(chosen / chosen.sum(), (problem.groups, 1))
