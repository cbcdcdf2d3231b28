"""Cuts rows of token ids into padded batches, and reads off what a network thinks of the answers in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

TOKENS = 4096
"""Tokens in a batch, padding included: with a vocabulary of 128,000 their logits take 2 GB in float32."""


def batches(
    rows: Sequence[Sequence[int]], pad: int, *, side: Literal["left", "right"], tokens: int = TOKENS, room: int = 0
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Cut *rows* into batches of like lengths: their places, ids and mask (1 for a token), both [rows, longest].

    *room* are tokens that each row will grow by. A row longer than *tokens* is a batch of its own.
    """
    import torch

    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
    while order:
        count = 1
        while count < len(order) and (count + 1) * (len(rows[order[count]]) + room) <= tokens:
            count += 1
        places, order = order[:count], order[count:]
        longest = max(1, len(rows[places[-1]]))
        ids = torch.full((count, longest), pad)
        mask = torch.zeros((count, longest), dtype=torch.int64)
        for line, place in enumerate(places):
            length = len(rows[place])
            part = slice(longest - length, longest) if side == "left" else slice(0, length)
            ids[line, part] = torch.tensor(rows[place], dtype=torch.int64)
            mask[line, part] = 1
        yield places, ids, mask


def answer_logits(
    network: nn.Module, ids: Sequence[Sequence[int]], starts: Sequence[int], pad: int, tokens: int = TOKENS
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Show *network* prompts with their answers, and give for each row its place, logits and answer.

    *ids* are prompts followed by answers, which begin at *starts* (at least 1). The logits are those from which each
    token of the answer would be chosen: float32 [tokens of the answer, vocabulary]; the answer is int64 [tokens].
    """
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        for places, batch, _ in batches(ids, pad, side="right", tokens=tokens):
            # A causal network does not look to the right, where the padding is; a mask would slow its attention down.
            logits = network(input_ids=batch.to(device)).logits
            for line, place in enumerate(places):
                start, stop = starts[place], len(ids[place])
                if start < 1:
                    raise ValueError(f"row {place} has no prompt: nothing predicts its first token")
                yield place, logits[line, start - 1 : stop - 1].float(), batch[line, start:stop].to(device)
