"""Merges as the document's predecessor published them, faults included. Knows names and numbers, no tensor.

The predecessor is Erland366/merginguriel (run_merging_pipeline_refactored.py), which merges by auto-merge-llm. It takes
the source with the largest weight for the base, and merges only the others. So a weighted average leaves the best
source out; task vectors are what others learnt beyond a source, not beyond the pretrained model; and its TIES and task
arithmetic are that source, nudged a little. What it does with SLERP is told by compute.merging.methods.slerp_fold;
the classification head, which it loses there, is kept here. Its choice of sources is
compute.similarity.selection.merginguriel, its weights are compute.merging.coefficients.sinkhorn (uniform in its mode
`average`), and its reading of REAL is compute.similarity.real.transposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compute.errors import UsageError, unknown
from compute.merging.recipe import Recipe
from compute.merging.shares import shares

METHODS: Mapping[str, str] = {
    "similarity": "average",
    "average": "average",
    "regmean": "average",
    "ties": "ties",
    "task_arithmetic": "task_arithmetic",
    "slerp": "slerp_fold",
}
"""The method here for each of the predecessor's modes; what it calls RegMean is its weighted average once more."""

REFUSED: Mapping[str, str] = {
    "fisher": "it needs squared gradients of batch sums; the method fisher takes those of kind batch_sum",
    "uriel": "it merges two fixed models",
    "manual": "it merges models that are named in its code",
    "iterative": "it merges while it trains",
}
"""Why its other modes are not reproduced."""

TIES: Mapping[str, object] = {
    "density": 0.2,
    "trim_scope": "model",
    "one_more": True,
    "elect": "equal",
    "tie": "majority",
    "divide": "weights",
}
"""The options of its TIES, but for the scale."""


class AsPublished(NamedTuple):
    """Describe a merge: the source that stands for the base, the sources that are merged on it, and how."""

    base: str
    experts: tuple[str, ...]
    recipe: Recipe


def method_of(mode: str) -> str:
    """Return the method here that does what the predecessor does in *mode*; a method that does stands for itself.

    Raises UsageError for modes that are not reproduced, saying why.
    """
    if mode in REFUSED:
        raise UsageError(f"merginguriel's {mode} is not reproduced: {REFUSED[mode]}; known: {', '.join(METHODS)}")
    if mode not in METHODS and mode not in METHODS.values():
        raise unknown("mode of merginguriel", mode, METHODS)
    return METHODS.get(mode, mode)


def require_own(method: str) -> str:
    """Return *method* if it is one of ours that reproduces a mode; else raise UsageError, naming that one.

    For callers whose trace follows the method by its name, so that it must be the name of the code that runs.
    """
    if (own := method_of(method)) != method:
        raise UsageError(f"merginguriel's {method} is {own} here: name that")
    return method


def as_published(sources: Sequence[str], coefficients: Sequence[float], method: str) -> AsPublished:
    """Say how the predecessor merges *sources* with these *coefficients*, of any scale, in a mode or by our *method*.

    Of equal coefficients the first given counts as the largest. Sources with none are left out, as are those without
    Sinkhorn weight there. With the others' coefficients w, of all that sum to one:

    - `average`: Σ wᵢ θᵢ / Σ wᵢ over all but the largest.
    - `task_arithmetic`: the task vectors against the largest are added, times the mean of the wᵢ. (It fails for
      two sources, which have one task vector; here they are merged alike.)
    - `ties`: of these task vectors the 20 % of the largest entries of the whole model are kept, and merged with
      equal weights, times the largest wᵢ. It keeps ⌈n/5⌉ + 1 of n entries, we ⌊n/5⌋ + 1: one entry less of each
      source where n is no multiple of 5.
    - `slerp_fold`: all sources, the largest too, folded with the inverted weights.

    Raises UsageError for another method and fewer than two sources with a coefficient, ValueError for coefficients
    that are negative or all zero.
    """
    name = method_of(method)
    parts = shares(np.array(coefficients, dtype=np.float64), of="coefficients").tolist()
    ranked = sorted(zip(sources, parts, strict=True), key=lambda pair: -pair[1])
    merged = [(source, part) for source, part in ranked if part > 0]
    if len(merged) < 2:
        raise UsageError("merginguriel takes one source for the base and merges the others: give at least two "
                         f"sources coefficients above zero, not {len(merged)}")  # fmt: skip
    (base, _), *others = merged if name != "slerp_fold" else [merged[0], *merged]
    experts, weights = zip(*others, strict=True)
    return AsPublished(base, experts, _recipe(name, weights))


def _recipe(method: str, weights: tuple[float, ...]) -> Recipe:
    equal = (1.0,) * len(weights)
    match method:
        case "task_arithmetic":
            return Recipe(method, equal, {"scale": sum(weights) / len(weights)})
        case "ties":
            return Recipe(method, equal, {**TIES, "scale": max(weights)})
        case "slerp_fold":
            return Recipe(method, weights, {"against": "previous"})
        case _:
            return Recipe(method, weights)
