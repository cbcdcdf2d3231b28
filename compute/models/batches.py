"""Turns texts into batches of token ids for a model. Knows a model's tokenizer and classes, not its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compute.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Batch:
    """Some of the texts: their numbers [rows], their token ids and the mask of real tokens, both [rows, length]."""

    numbers: list[int]
    ids: Tensor
    mask: Tensor


def encode(model: Checkpoint, texts: Sequence[str]) -> list[list[int]]:
    """Turn *texts* into token ids with their special tokens, cut to the model's longest text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_length)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def class_ids(model: Checkpoint, labels: Sequence[str]) -> Tensor:
    """Return the id of each label's class: int64 [labels]. ValueError names a label that the model lacks."""
    number = {name: index for index, name in enumerate(model.labels)}
    if unknown := sorted(set(labels) - number.keys()):
        raise ValueError(f"the model has no class {unknown[0]!r}: it has {', '.join(model.labels)}")
    return torch.tensor([number[label] for label in labels], dtype=torch.int64)


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Fill *rows* up to the longest: ids and mask (1 for a token, 0 for padding), both int64 [rows, length]."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad_id)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def batches(
    model: Checkpoint, texts: Sequence[str], size: int, *, device: str = "cpu", by_length: bool = True
) -> Iterator[Batch]:
    """Cut *texts* into batches of at most *size*, of like lengths unless they are to stay in their order.

    Raises ValueError when there is no text.
    """
    if not texts:
        raise ValueError("no texts: at least one is needed")
    encoded = encode(model, texts)
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number]) if by_length else 0)
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        ids, mask = pad([encoded[number] for number in numbers], model.pad_id)
        yield Batch(numbers, ids.to(device), mask.to(device))
