"""Checks what shapes do not tell: that models mean the same by their classes, tokens, heads and layers.

Reads configs, tokenizers and one small layer; imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engine import files
from compute.errors import UsageError
from compute.recipes.models import Model
from compute.weights.vocabulary import token_rows, tokenizer_text
from compute.weights.weights import TensorInfo, Weights

ARCHITECTURE = ("model_type", "num_attention_heads", "num_key_value_heads", "hidden_act", "position_embedding_type")
"""What a config says of a network that the shapes of its weights do not."""

DENSE = "classifier.dense.weight"
"""The layer of a head whose direction tells one beginning from another."""

ALIKE = 0.5
"""Cosine that dense layers of one beginning keep far above, and independent ones (near 0) never reach."""

PIECE = 1 << 20
"""Entries of a layer that are read at once."""


def check_architectures(base: Model | None, experts: Mapping[str, Model]) -> None:
    """Refuse networks that compute something else with weights of the same shapes."""
    models = {**({"the base": base} if base else {}), **experts}
    for key in ARCHITECTURE:
        having = {whose: model.config[key] for whose, model in models.items() if key in model.config}
        for whose, found in having.items():
            known, expected = next(iter(having.items()))
            if found != expected:
                raise UsageError(f"{key} is {found!r} in {whose} and {expected!r} in {known}: merge models of one kind")


def check_labels(experts: Mapping[str, Model]) -> None:
    """Refuse experts whose classes differ: their heads' rows would be mixed."""
    labels = {name: _labels(model.config) for name, model in experts.items() if "id2label" in model.config}
    for name, found in labels.items():
        known, expected = next(iter(labels.items()))
        if len(found) != len(expected):
            raise UsageError(f"{name} has {len(found)} classes and {known} {len(expected)}: {_RELABEL}")
        for number, label in expected.items():
            if found.get(number) != label:
                raise UsageError(
                    f"class {number} is {found.get(number)!r} in {name} and {label!r} in {known}: {_RELABEL}"
                )


def check_heads(experts: Mapping[str, Weights]) -> None:
    """Refuse experts whose heads began differently: they are other bases, and their mean means nothing.

    Where they began alike, the cosine between two experts' `classifier.dense.weight` stays near 1; where not, it is
    near 0. Models without that layer, or with zeros in it, are not judged.
    """
    having = {name: each for name, each in experts.items() if DENSE in each.tensors()}
    if len(having) < 2:
        return
    first, reference = next(iter(having.items()))
    for name, expert in list(having.items())[1:]:
        cosine = _cosine(reference, expert, reference.tensors()[DENSE])
        if cosine is not None and cosine < ALIKE:
            raise UsageError(
                f"the heads of {first} and {name} seem to have begun differently: the cosine between their {DENSE} is"
                f" {cosine:.2f}, expected {ALIKE} or more; fine-tune both from one base with one head, or say"
                " `head: best` in a recipe of Recount's to take the head of one"
            )


def check_tokens(base: Model | None, experts: Mapping[str, Model]) -> None:
    """Refuse models that give a row of the embeddings to different tokens, as far as tokenizer.json tells."""
    models = {**({"the base": base} if base else {}), **experts}
    having = {whose: path for whose, model in models.items() if (path := _tokenizer(model.folder)).is_file()}
    first = next(iter(having.items()), None)
    for whose, path in having.items():
        if first and files.digest(path) != files.digest(first[1]):
            rows = token_rows(tokenizer_text(first[1].parent), tokenizer_text(path.parent), (first[0], whose))
            other = np.flatnonzero((rows >= 0) & (rows != np.arange(len(rows))))
            if len(other):
                raise UsageError(
                    f"the token of row {other[0]} in {first[0]} has row {rows[other[0]]} in {whose}: their vocabularies"
                    " differ; have the rows aligned by token (`vocabulary: align`), or merge models of one vocabulary"
                )


_RELABEL = "a merged head needs the same classes in the same order; sort the labels before fine-tuning"


def _labels(config: Mapping[str, Any]) -> dict[int, str]:
    return {int(number): str(label) for number, label in config["id2label"].items()}


def _tokenizer(folder: Path) -> Path:
    return folder / "tokenizer.json"


def _cosine(one: Weights, other: Weights, info: TensorInfo) -> float | None:
    """Return the cosine of two tensors, None if one is zero or they do not fit."""
    if other.tensors()[info.name].shape != info.shape:
        return None
    products: NDArray[np.float64] = np.zeros((2, 2))
    for start in range(0, info.size, PIECE):
        rows = np.empty((2, min(PIECE, info.size - start)))
        for row, weights in zip(rows, (one, other), strict=True):
            weights.read(info.name, start, row)
        products += rows @ rows.T
    length = float(np.sqrt(products[0, 0] * products[1, 1]))
    return float(products[0, 1]) / length if length else None
