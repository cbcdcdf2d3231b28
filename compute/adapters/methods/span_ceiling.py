"""The best that weights of anchors can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.components import NOISE
from compute.adapters.method import translation_method
from compute.adapters.ridge import affine, standardised
from compute.errors import UsageError

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Nearest point to the truth in the anchors' span",
    source="",
    role="ceiling",
    needs_truth=True,
)
def span_ceiling(problem: Problem) -> Floats:
    """Return the weights of sum one that come nearest to the task's own adapter on Y in each group.

    No translation that weighs anchors can come nearer. UsageError if the problem does not tell the truth.
    """
    if problem.truth is None:
        raise UsageError("span_ceiling needs the task's own adapter on Y, which this problem does not tell")
    unit, pull = standardised(problem.y, problem.truth)
    return affine((np.linalg.pinv(unit, rcond=NOISE, hermitian=True) @ pull[..., None])[..., 0])
