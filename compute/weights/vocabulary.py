"""Vocabularies that differ between models: refused, or their rows put in the base's order. Knows no merging."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.weights.completed import floats_raw
from compute.weights.weights import TensorInfo, Weights, check_piece, find

EMBEDDINGS = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight", "wte.weight")
"""How the names of word embeddings end."""

OUTPUTS = (
    *(
        f"{head}.{part}"
        for head in ("lm_head", "lm_head.decoder", "predictions.decoder")
        for part in ("weight", "bias")
    ),
    "predictions.bias",
    "embed_out.weight",
)
"""How the names of tensors end that have a row for each token, too, where they are as long as the embeddings."""

MOST_TOKENS = 100_000_000
"""Rows that a vocabulary may have: a damaged tokenizer.json must not fill the memory."""


def vocabulary_tensors(weights: Weights) -> list[str]:
    """Name the tensors with a row for each token: word embeddings, and outputs of the same number of rows."""
    infos = weights.tensors()
    embeddings = [name for name in infos if name.endswith(EMBEDDINGS)]
    sizes = {infos[name].shape[0] for name in embeddings}
    return [
        name
        for name, info in infos.items()
        if name in embeddings or (name.endswith(OUTPUTS) and info.shape and info.shape[0] in sizes)
    ]


def check_vocabularies(base: Weights | None, experts: Mapping[str, Weights]) -> None:
    """Refuse models whose word embeddings differ in their number of rows from the base's (or the first model's).

    Raises UsageError naming the tensor and the sizes. Equal sizes are no proof of equal vocabularies.
    """
    models = {"the base": base, **experts} if base else dict(experts)
    sizes: dict[str, tuple[str, int]] = {}
    for whose, weights in models.items():
        for name, info in weights.tensors().items():
            if not name.endswith(EMBEDDINGS):
                continue
            first, size = sizes.setdefault(name, (whose, info.shape[0]))
            if info.shape[0] != size:
                raise UsageError(
                    f"{name} has {info.shape[0]} rows in {whose} and {size} in {first}: their vocabularies differ; "
                    "have the rows aligned by token (`vocabulary: align`), or merge models of one vocabulary"
                )


class Aligned:
    """Weights whose rows for tokens are in the base's order.

    *rows* [base rows] says for each row of the base which own row has the same token, or -1: that row is then read
    from *fallback*, the base, so that its task vector is zero. Rows of *fallback* beyond *rows* count as -1.
    *names* are the tensors concerned; all others are the model's own.

    Raises UsageError where *rows* points beyond the model's own rows or is longer than the base, or where
    *fallback* lacks a tensor or has other columns.
    """

    def __init__(self, weights: Weights, names: Sequence[str], rows: NDArray[np.int64], fallback: Weights) -> None:
        self._weights, self._fallback = weights, fallback
        infos = weights.tensors()
        self._rows = {name: _padded(rows, infos[name], find(fallback.tensors(), name)) for name in names}
        self._infos = {
            name: TensorInfo(name, (len(self._rows[name]), *info.shape[1:]), info.dtype) if name in self._rows else info
            for name, info in infos.items()
        }

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the tensors, those of the vocabulary with as many rows as the base has."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        info = find(self._infos, name)
        if name not in self._rows:
            self._weights.read(name, start, out)
            return
        check_piece(info, start, out)
        if not len(out):
            return
        width, stop = info.size // info.shape[0], start + len(out)
        first, last = start // width, -(-stop // width)
        for row, own, count in _runs(self._rows[name][first:last]):
            # Of this run's entries, those that were asked for: the first and the last row may be wanted in part.
            begin, end = max((first + row) * width, start), min((first + row + count) * width, stop)
            source, at = (self._fallback, begin) if own < 0 else (self._weights, begin + (own - first - row) * width)
            source.read(name, at, out[begin - start : end - start])

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor, in its own dtype."""
        info = find(self._infos, name)
        return floats_raw(self, info) if name in self._rows else self._weights.raw(name)


def aligned(
    base: Weights, experts: Mapping[str, Weights], folders: Mapping[str, Path], base_folder: Path
) -> dict[str, Weights]:
    """Put the vocabularies of *experts* in the base's order, by the tokenizer.json of each model's folder.

    A model whose tokens are the base's, in the same rows, is given back as it is. Raises UsageError where a folder
    has no tokenizer.json, or a model rows for tokens in a tensor that the base lacks.
    """
    names = vocabulary_tensors(base)
    ours = tokenizer_text(base_folder)
    result: dict[str, Weights] = {}
    for whose, weights in experts.items():
        theirs = tokenizer_text(folders[whose])
        rows = np.arange(0) if theirs == ours else token_rows(ours, theirs, ("the base", whose))
        concerned = [name for name in names if name in weights.tensors()]
        equal = all(weights.tensors()[name].shape == base.tensors()[name].shape for name in concerned)
        if equal and np.array_equal(rows, np.arange(len(rows))):
            result[whose] = weights
            continue
        if strange := [name for name in vocabulary_tensors(weights) if name not in names]:
            raise UsageError(
                f"{whose} has a row for each token in {strange[0]}, which the base lacks: not to be aligned"
            )
        result[whose] = Aligned(weights, concerned, token_rows(ours, theirs, ("the base", whose)), base)
    return result


def token_rows(
    base_tokenizer_json: str, own_tokenizer_json: str, names: tuple[str, str] = ("the base", "the model")
) -> NDArray[np.int64]:
    """Give for each row of the base's vocabulary the own row of the same token, or -1 where there is none.

    Both are texts of tokenizer.json (the format of the tokenizers library); added tokens count, and tokens are
    compared as strings. The result has as many rows as the base's largest token id + 1. Raises UsageError, with one
    of *names*, for a text that is none.
    """
    base, own = _vocabulary(base_tokenizer_json, names[0]), _vocabulary(own_tokenizer_json, names[1])
    rows = np.full(max(base.values(), default=-1) + 1, -1, np.int64)
    for token, row in base.items():
        rows[row] = own.get(token, -1)
    return rows


def _vocabulary(text: str, whose: str) -> dict[str, int]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more special
        raise UsageError(
            f"tokenizer.json of {whose} is none of the tokenizers library ({error}): fetch or write it again"
        ) from error
    found: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    if (last := max(found.values(), default=0)) > MOST_TOKENS:
        raise UsageError(f"tokenizer.json of {whose} has a token in row {last}: expected at most {MOST_TOKENS:,} rows")
    return found


def tokenizer_text(folder: Path) -> str:
    """Return the text of tokenizer.json in the *folder* of a model; UsageError where there is none, or no JSON."""
    try:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{folder}: vocabularies are compared and aligned by tokenizer.json, which cannot be read: {error}"
        ) from error
    return text


def _padded(rows: NDArray[np.int64], own: TensorInfo, base: TensorInfo) -> NDArray[np.int64]:
    if len(rows) > base.shape[0]:
        raise UsageError(f"{base.name} has {base.shape[0]} rows in the base, whose tokenizer needs {len(rows)}")
    if rows.max(initial=-1) >= own.shape[0] or rows.min(initial=-1) < -1:
        raise UsageError(f"{own.name} has {own.shape[0]} rows, and the model's tokenizer needs {rows.max() + 1}")
    if own.shape[1:] != base.shape[1:]:
        raise UsageError(f"{own.name} is {list(own.shape)} in the model and {list(base.shape)} in the base")
    return np.concatenate([rows, np.full(base.shape[0] - len(rows), -1, np.int64)])


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Divide *rows* into runs of neighbours, or of -1: where each begins, its first own row, and its length."""
    steps = np.diff(rows)
    broken = np.where(rows[1:] < 0, rows[:-1] >= 0, (steps != 1) | (rows[:-1] < 0))
    starts = np.concatenate([[0], np.flatnonzero(broken) + 1]).tolist()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield start, int(rows[start]), stop - start
