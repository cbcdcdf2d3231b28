"""A random adapter of the anchors' size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.method import translation_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compute.adapters.material import Material
    from compute.adapters.problem import Problem


@translation_method(
    title="Random, of the anchors' size",
    source="",
    role="control",
    gives="adapter",
)
def random_norm(problem: Problem, material: Material) -> Adapter:
    """Draw A and B of every module from a normal distribution, and bring ΔW to the mean size it has in the anchors.

    Size is the Frobenius norm ‖ΔW‖; rank and scale are those of the first anchor. Nothing of the task plays a part, so
    this tells what a change of the usual size, in no direction, does to the model. The problem's seed draws it.
    """
    rng = np.random.default_rng(problem.seed)
    anchors = list(material.anchors.values())
    return Adapter({name: _drawn([each[place] for each in anchors], rng) for place, name in anchors[0].places.items()})


def _drawn(anchors: Sequence[Factors], rng: np.random.Generator) -> Factors:
    first = anchors[0]
    drawn = Factors(
        rng.standard_normal(first.a.shape, np.float32), rng.standard_normal(first.b.shape, np.float32), first.scale
    )
    wanted, found = np.mean([_size(each) for each in anchors]), _size(drawn)
    # Both factors bear the change alike, so that neither is out of proportion.
    share = np.float32(np.sqrt(wanted / found)) if found else np.float32(0)
    return Factors(drawn.a * share, drawn.b * share, first.scale)


def _size(one: Factors) -> float:
    """Compute ‖ΔW‖ by the inner products of rows of A and of columns of B, [rank, rank] each."""
    a, b = one.a.astype(np.float64), one.b.astype(np.float64)
    return abs(one.scale) * float(np.sqrt(max(0.0, np.sum((b.T @ b) * (a @ a.T)))))
