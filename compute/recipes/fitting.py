"""Finds the tensors that models have in common, and makes up what a base lacks. Knows no merge and no file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from compute.errors import UsageError
from compute.recipes import agreement
from compute.recipes.document import Document
from compute.recipes.models import Model
from compute.weights.completed import Completed, Selected
from compute.weights.vocabulary import aligned, check_vocabularies
from compute.weights.weights import TensorInfo, Weights


def fitted(
    document: Document, base: Model | None, models: Mapping[str, Model]
) -> tuple[Weights | None, dict[str, Weights]]:
    """Return the base and the experts with the tensors that are merged: those that all experts have."""
    weights: dict[str, Weights] = {name: model.weights for name, model in models.items()}
    if document.vocabulary == "align":
        if base is None:
            raise UsageError("vocabulary: align puts rows in the base's order: name the base")
        weights = aligned(base.weights, weights, {name: each.folder for name, each in models.items()}, base.folder)
    else:
        check_vocabularies(base.weights if base else None, weights)
        agreement.check_tokens(base, models)
    names = _common(weights)
    experts: dict[str, Weights] = {name: Selected(each, names) for name, each in weights.items()}
    return _base(document, base.weights, experts, names) if base else None, experts


def _base(document: Document, base: Weights, experts: Mapping[str, Weights], names: list[str]) -> Weights:
    """Return the base with the tensors *names*; buffers of integers that it lacks are the experts'."""
    infos = next(iter(experts.values())).tensors()
    held = base.tensors()
    lacking = [name for name in names if name not in held and infos[name].floating]
    if lacking and document.missing == "refuse":
        raise UsageError(
            f"the base lacks {lacking[0]} and {len(lacking) - 1} more tensors that the sources have: say"
            " `missing: zero` to begin them at zero, or `missing: mean` at the sources' mean"
        )
    if not any(name in held for name in names if infos[name].floating):
        raise UsageError(f"the base has none of the sources' tensors, such as {lacking[0]}: do the names begin alike?")
    own = Completed(base, experts, [infos[name] for name in names if name not in lacking], "mean")
    how = "zero" if document.missing == "refuse" else document.missing
    return Completed(own, experts, [infos[name] for name in names], how)


def _common(experts: Mapping[str, Weights]) -> list[str]:
    """Return the names that are merged; buffers that some experts lack are of no use, weights that some lack are a
    mistake.
    """
    first = next(iter(experts.values())).tensors()
    everywhere = {name: None for name in first if all(name in each.tensors() for each in experts.values())}
    for whose, each in experts.items():
        for name, info in each.tensors().items():
            if name not in everywhere and info.floating:
                lacks = next(other for other, found in experts.items() if name not in found.tensors())
                raise UsageError(f"{whose} has the tensor {name}, which {lacks} lacks: are both of one architecture?")
    return list(everywhere)


def in_result(info: TensorInfo, experts: Mapping[str, Weights], dtype: str | None) -> TensorInfo:
    """Return a tensor of the result: of the type asked for, or the one that holds all of the experts'."""
    if not info.floating:
        return info
    theirs = {each.tensors()[info.name].dtype for each in experts.values()}
    widest = theirs.pop() if len(theirs) == 1 else "float64" if "float64" in theirs else "float32"
    return dataclasses.replace(info, dtype=dtype or widest)
