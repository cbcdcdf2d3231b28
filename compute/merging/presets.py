"""What other implementations mean by a method's name, as options of ours. Knows numbers, no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compute.errors import UsageError, unknown
from compute.merging.merginguriel import AsPublished, as_published

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "official": {
        "ties": {"trim_scope": "model", "one_more": True, "elect": "equal", "tie": "majority", "divide": "weights"},
        "breadcrumbs": {"within": "row"},
        "della": {"rescale": "probability"},
        "dare": {"rescale": "density"},
    },
    "peft": {
        "ties": {"trim_scope": "tensor", "elect": "equal", "tie": "positive", "divide": "count"},
        "dare": {"rescale": "density"},
    },
    "mergekit": {
        "ties": {"trim_scope": "tensor", "elect": "weighted", "tie": "positive", "divide": "weights"},
        "breadcrumbs": {"within": "tensor"},
        "della": {"rescale": "norm"},
        "sce": {"least_energy": 1e-6},
        "model_stock": {"clamp": False},
        "karcher": {"iterations": 10},
        "dare": {"rescale": "norm"},
    },
}
"""Options by preset and method; under "dare" those of what comes before any method. See the methods' docstrings."""


WHOLE: Mapping[str, Callable[[Sequence[str], Sequence[float], str], AsPublished]] = {"merginguriel": as_published}
"""Presets that say all of a merge by sources, coefficients and method: also what stands for the base, and which of
the sources are merged.
"""


def options(preset: str, method: str) -> Mapping[str, Any]:
    """Return what *preset* means by *method* ("dare": by DARE before any method); nothing where it is the same as here.

    Raises UsageError for an unknown preset, and for one of `WHOLE`.
    """
    if preset in WHOLE:
        raise UsageError(f"preset {preset} takes one of the sources for the base: it holds for a whole recipe, "
                         "not for one of several merges")  # fmt: skip
    if preset not in PRESETS:
        raise unknown("preset", preset, [*PRESETS, *WHOLE])
    return PRESETS[preset].get(method, {})
