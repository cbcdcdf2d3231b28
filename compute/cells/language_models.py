"""Cells that make or load causal language models: what adapters are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compute.engine.cell import cell
from compute.engine.keys import derived_seed

if TYPE_CHECKING:
    from compute.models.places import Place
    from compute.models.recipes import CausalArchitecture, Teaching

Tree = dict[str, Any]
"""A language model as the store keeps it: see compute.models.causal.to_tree."""


@cell(label="{name}", libraries=("torch", "transformers"))
def taught(
    name: str, architecture: CausalArchitecture, teaching: Teaching, evaluation: int, start: int
) -> dict[str, Any]:
    """Teach a new model the skills of the made tasks: the model, and how well it knows each skill.

    *start* is the tasks' own seed, and *evaluation* how many questions of each they are measured by, so that no lesson
    asks one of those.
    """
    from compute.evaluation.tasks.factorial import Lessons, tokenizer
    from compute.models.causal import to_tree
    from compute.models.device import device
    from compute.models.skills import teach

    seed = derived_seed(start, name)
    lessons = Lessons(start, evaluation)
    model, report = teach(architecture, teaching, lessons, tokenizer(), seed=seed, device=device())
    return {"model": to_tree(model), **report}


@cell(label="{name}", store=False)
def language_model(name: str, taught: dict[str, Any]) -> Tree:
    """Take the model alone."""
    tree: Tree = taught["model"]
    return tree


@cell()
def skills(taught: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """List how well models know each of the skills that their adapters are to call up."""
    return [
        {"model": name, "steps": known["steps"], **skill} for name, known in taught.items() for skill in known["skills"]
    ]


@cell(label="{name}", store=False, libraries=("transformers",))
def found_language_model(name: str, place: Place) -> Tree:
    """Load a language model from the hub, its local cache or a folder."""
    from compute.models.causal import to_tree
    from compute.models.causal_load import from_place

    return to_tree(from_place(place))
