"""What other implementations mean by a method's name, as options of ours. Knows numbers, no file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from compute.errors import unknown
from compute.merging.recipe import Recipe

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


def applied(preset: str, recipe: Recipe) -> Recipe:
    """Return *recipe* as the implementation *preset* would do it; what the recipe itself says stays.

    A method that the preset says nothing of is the same there and here. Raises UsageError for an unknown preset.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    theirs = PRESETS[preset]
    options = {**theirs.get(recipe.method, {}), **recipe.options}
    dare = recipe.dare and dataclasses.replace(recipe.dare, **theirs.get("dare", {}))
    return dataclasses.replace(recipe, options=options, dare=dare)
