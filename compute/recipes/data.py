"""What merge methods know of models from data, as files beside a recipe: Fisher information and Gram matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.merging.method import method_info
from compute.recipes.document import Document
from compute.recipes.models import Inputs, open_numbers
from compute.weights.weights import Weights


class Grams(Mapping[str, NDArray[Any]]):
    """Gram matrices by the name of a layer's weight, each read when it is asked for, in float64."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> NDArray[Any]:
        info = self._weights.tensors()[name]
        values = np.empty(info.size)
        self._weights.read(name, 0, values)
        return values.reshape(info.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights.tensors())

    def __len__(self) -> int:
        return len(self._weights.tensors())


def check_needs(document: Document) -> None:
    """Refuse what a file cannot hold, what is missing, and what no merge of the *document* looks at."""
    needed = {need for recipe in document.merges.values() for need in method_info(recipe.method).data}
    if "entropy" in needed:
        raise UsageError(
            "adamerging learns its coefficients by running the merged model on texts: it needs a network, so it is"
            " for studies (docs/guide/add-a-study.md), not for a recipe"
        )
    if missing := sorted(needed - document.data.keys()):
        raise UsageError(f"data: the method needs {missing[0]}: say `data: {{{missing[0]}: {{SOURCE: FOLDER, …}}}}`")
    if unused := sorted(document.data.keys() - needed):
        raise UsageError(f"data.{unused[0]}: no merge of this recipe looks at it")
    if document.data and document.vocabulary == "align":
        raise UsageError("data: what was measured on a model's own vocabulary does not fit `vocabulary: align`")


def opened(
    document: Document, experts: Mapping[str, Weights], inputs: Inputs
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return what merges need from data, by kind and source, and the digests of its files.

    *experts* are the weights that are merged: Fisher information must have their names and shapes.
    """
    found: dict[str, Any] = {}
    digests: dict[str, dict[str, str]] = {}
    for kind, places in document.data.items():
        numbers = {source: open_numbers(place, document.folder, inputs) for source, place in places.items()}
        digests[kind] = {source: digest for source, (_, digest) in numbers.items()}
        if kind == "fisher":
            for source, (weights, _) in numbers.items():
                _check_like(source, weights, experts[source])
            found[kind] = {source: weights for source, (weights, _) in numbers.items()}
        else:
            found[kind] = {source: Grams(weights) for source, (weights, _) in numbers.items()}
    return found, digests


def _check_like(source: str, information: Weights, expert: Weights) -> None:
    held = information.tensors()
    for name, info in expert.tensors().items():
        if not info.floating:
            continue
        if name not in held:
            raise UsageError(f"data.fisher.{source} lacks {name}: expected a tensor for each of the model's weights")
        if held[name].shape != info.shape:
            shapes = f"{list(held[name].shape)}, expected {list(info.shape)}"
            raise UsageError(f"data.fisher.{source}: {name} has shape {shapes}")
