"""Lets a model write: greedy decoding in batches. Knows token ids and a network's cache, nothing of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compute.evaluation.answers._batches import TOKENS, batches

if TYPE_CHECKING:
    from torch import Tensor, nn


def generate(
    network: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    pad: int,
    ends: Sequence[int],
    new_tokens: int,
    tokens: int = TOKENS,
) -> list[list[int]]:
    """Continue each of *prompts* by its most probable tokens, until one of *ends* or for *new_tokens* tokens.

    The end is not part of what is returned. *network* is a causal language model of the transformers library; what its
    generation config says (sampling, penalties) is not used. Prompts are padded on the left, and their positions
    counted from their own first token, so that a prompt's continuation does not depend on the others but for rounding.
    """
    import torch

    device = next(network.parameters()).device
    found: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        for places, ids, mask in batches(prompts, pad, side="left", tokens=tokens, room=new_tokens):
            written = _continue(network, ids.to(device), mask.to(device), pad, list(ends), new_tokens)
            for place, row in zip(places, written.tolist(), strict=True):
                stop = next((at for at, token in enumerate(row) if token in ends), len(row))
                found[place] = row[:stop]
    return found


def _continue(network: nn.Module, ids: Tensor, mask: Tensor, pad: int, ends: list[int], new_tokens: int) -> Tensor:
    """Write up to *new_tokens* tokens after each row: int64 [rows, tokens], *pad* after a row's end."""
    import torch

    given, cache, written = ids, None, []
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    ended, final = torch.zeros(len(ids), dtype=torch.bool, device=ids.device), torch.tensor(ends, device=ids.device)
    for _ in range(new_tokens):
        result = network(
            input_ids=given, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        chosen = result.logits[:, -1].argmax(-1).masked_fill(ended, pad)
        written.append(chosen)
        ended |= torch.isin(chosen, final)
        if ended.all():
            break
        given, cache, positions = chosen[:, None], result.past_key_values, positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=-1)
    return torch.stack(written, dim=-1) if written else ids[:, :0]
