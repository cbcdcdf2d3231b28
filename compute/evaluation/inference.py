"""Runs classifiers over texts in batches. Knows token ids and logits, not where models or texts come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Dtype = Literal["float32", "bfloat16"]
"""What a network computes in. Rounding to bfloat16 may flip predictions: see compute.cells.evaluation.flips."""

PADDING = 64
"""Tokens. As much padding in a batch costs about as much as a batch more, for XLM-R-base on a CPU."""


class Classifier(Protocol):
    """What inference needs of a model: how it reads texts, and a network that gives logits."""

    @property
    def tokenizer(self) -> str:
        """Give the tokenizers library's JSON."""

    @property
    def max_length(self) -> int:
        """Count the tokens a text may have, special ones included."""

    @property
    def pad_id(self) -> int:
        """Say which id fills up a batch."""

    @property
    def labels(self) -> Sequence[str]:
        """Name the classes in the order of their ids."""

    def network(self) -> nn.Module:
        """Build a new network in evaluation mode; it may share its memory with the model."""


@dataclass(frozen=True)
class Encoded:
    """Texts as token ids: those of all texts in a row, and of how many each text has."""

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self) -> list[NDArray[np.int32]]:
        """Return the token ids of each text."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1]) if len(self) else []

    def sorted(self) -> tuple[NDArray[np.int64], Encoded]:
        """Return the places of the texts from the shortest to the longest, and the texts in that order."""
        order = np.argsort(self.lengths, kind="stable")
        rows = self.rows()
        tokens = np.concatenate([rows[place] for place in order]) if rows else self.tokens
        return order, Encoded(tokens, self.lengths[order])


def encode(tokenizer: str, texts: Sequence[str], max_length: int) -> Encoded:
    """Turn *texts* into token ids with their special tokens, cut to *max_length*.

    *tokenizer* is the tokenizers library's JSON. Encode a locale once: all experts of a base share the ids.
    """
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_str(tokenizer)
    encoder.no_padding()
    encoder.enable_truncation(max_length)
    found = [encoding.ids for encoding in encoder.encode_batch(list(texts))]
    lengths = np.array([len(row) for row in found], dtype=np.int32)
    return Encoded(np.fromiter(chain.from_iterable(found), dtype=np.int32, count=int(lengths.sum())), lengths)


def reading(tokenizer: str, max_length: int) -> str:
    """Return a digest (sha256, hex) that two models share if they turn every text into the same ids.

    What a tokenizer says of padding and truncation does not count, as `encode` sets both.
    """
    said = {name: part for name, part in json.loads(tokenizer).items() if name not in ("padding", "truncation")}
    text = json.dumps([said, max_length], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Ready:
    """A classifier with its network built, on its device and in its type of number: to be asked again and again.

    Its table of word embeddings stays as the model has it. Each call takes along the rows of the tokens that occur,
    a few thousand of XLM-R's 250,002 (768 MB), and renumbers the ids to match: what comes out is exactly the same.
    """

    def __init__(self, model: Classifier, *, device: str = "cpu", dtype: Dtype = "float32") -> None:
        import torch

        self.model = model
        self.device = device
        self._dtype = getattr(torch, dtype)
        self._network = model.network()
        self._embedding = self._network.get_input_embeddings()
        self._rows = self._embedding.weight.detach()
        self._in_place = _special_ids(self._network, model.pad_id)[: len(self._rows)]
        self._take_along(self._in_place)
        self._network.to(device)
        for parameter in self._network.parameters():
            parameter.data = parameter.data.to(self._dtype)

    @cached_property
    def reading(self) -> str:
        """The digest of how the model reads texts: see `reading`."""
        return reading(self.model.tokenizer, self.model.max_length)

    def logits(self, texts: Encoded, *, batch_size: int = 64) -> NDArray[np.float32]:
        """Compute the logits of every text: float32 [texts, classes], in the order of *texts*.

        Texts run in batches of like lengths, at most *batch_size*, each padded to its own longest, so that little
        work is padding; the result does not depend on the batches but for rounding.
        """
        import torch

        order, ranked = texts.sorted()
        kept = np.union1d(self._in_place, ranked.tokens)
        self._take_along(kept)
        renumbered = Encoded(np.searchsorted(kept, ranked.tokens).astype(np.int32), ranked.lengths)
        result = np.empty((len(texts), len(self.model.labels)), dtype=np.float32)
        start = 0
        with torch.inference_mode():
            for ids, mask in _batches(renumbered, batch_size, self.model.pad_id):
                scores = self._network(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits
                result[order[start : start + len(ids)]] = scores.float().cpu().numpy()
                start += len(ids)
        return result

    def _take_along(self, kept: NDArray[np.integer]) -> None:
        """Give the network the word embeddings of the ids *kept*, in that order."""
        import torch

        rows = self._rows[torch.from_numpy(kept.astype(np.int64))]
        self._embedding.weight = torch.nn.Parameter(rows.to(self.device, self._dtype), requires_grad=False)


def logits(
    model: Classifier,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    device: str = "cpu",
    dtype: Dtype = "float32",
) -> NDArray[np.float32]:
    """Compute the logits of every text: float32 [texts, classes]; see `Ready` for many texts or many calls."""
    encoded = encode(model.tokenizer, texts, model.max_length)
    return Ready(model, device=device, dtype=dtype).logits(encoded, batch_size=batch_size)


def _special_ids(network: nn.Module, pad_id: int) -> NDArray[np.integer]:
    """Return the ids that keep their numbers: networks know some of them, as XLM-R counts positions from the pad id."""
    named = [getattr(network.config, f"{role}_token_id", None) for role in ("pad", "bos", "eos", "sep", "cls")]
    return np.arange(max([pad_id, *(number for number in named if isinstance(number, int))]) + 1)


def _batches(ranked: Encoded, size: int, pad_id: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut *ranked* into batches: ids and mask (1 for a token, 0 for padding), both [rows, the longest of them]."""
    import torch

    ends = np.concatenate([[0], np.cumsum(ranked.lengths)])
    for start, stop in _cuts(ranked.lengths.tolist(), size):
        lengths = ranked.lengths[start:stop]
        mask = np.arange(lengths[-1]) < lengths[:, None]
        ids = np.full(mask.shape, pad_id, dtype=np.int64)
        ids[mask] = ranked.tokens[ends[start] : ends[stop]]
        yield torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def _cuts(lengths: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Say where batches of at most *size* begin and end, of texts from the shortest to the longest.

    A batch ends before a text for which the others would be padded with more than `PADDING` tokens in all. That
    comes within some hundredths of the best cuts.
    """
    start = tokens = 0
    for place, length in enumerate(lengths):
        if place - start == size or length * (place - start) - tokens > PADDING:
            yield start, place
            start, tokens = place, 0
        tokens += length
    if lengths:
        yield start, len(lengths)
