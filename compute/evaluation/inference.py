"""Runs classifiers over texts in batches. Knows token ids and logits, not where models or texts come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Encoded = Sequence[Sequence[int]]
"""Texts as token ids."""


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
        """Build the network in evaluation mode."""


def encode(tokenizer: str, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Turn *texts* into token ids with their special tokens, cut to *max_length*.

    *tokenizer* is the tokenizers library's JSON. Encode a locale once: all experts of a base share the ids.
    """
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_str(tokenizer)
    encoder.no_padding()
    encoder.enable_truncation(max_length)
    return [encoding.ids for encoding in encoder.encode_batch(list(texts))]


def logits(
    model: Classifier, texts: Sequence[str] | Encoded, *, batch_size: int = 64, device: str = "cpu"
) -> NDArray[np.float32]:
    """Compute the logits of every text, given as text or as token ids: float32 [texts, classes].

    Texts run in batches of like lengths, each padded to its own longest, so that little work is padding;
    the result is in the order of *texts*, and does not depend on the batches but for rounding.
    """
    import torch

    encoded = _encoded(model, texts)
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    network = model.network().to(device)
    result = np.empty((len(encoded), len(model.labels)), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids, mask = _pad([encoded[index] for index in batch], model.pad_id)
            scores = network(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            result[batch] = scores.float().cpu().numpy()
    return result


def predict(
    model: Classifier, texts: Sequence[str] | Encoded, *, batch_size: int = 64, device: str = "cpu"
) -> NDArray[np.int64]:
    """Predict the class id of every text, given as text or as token ids: int64 [texts], in their order."""
    predicted: NDArray[np.int64] = logits(model, texts, batch_size=batch_size, device=device).argmax(axis=1)
    return predicted


def _encoded(model: Classifier, texts: Sequence[str] | Encoded) -> Encoded:
    if all(isinstance(text, str) for text in texts):
        return encode(model.tokenizer, cast(Sequence[str], texts), model.max_length)
    return cast(Encoded, texts)


def _pad(rows: Encoded, pad_id: int) -> tuple[Tensor, Tensor]:
    """Fill *rows* up to the longest: ids and mask (1 for a token, 0 for padding), both [rows, length]."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad_id)
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()
