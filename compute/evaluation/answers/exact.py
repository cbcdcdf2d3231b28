"""Says whether a model would write exactly the answer wanted. Needs no generation: the prefix is the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compute.evaluation.answers._batches import TOKENS, answer_logits

if TYPE_CHECKING:
    from torch import nn


def exact(
    network: nn.Module, ids: Sequence[Sequence[int]], starts: Sequence[int], *, pad: int, tokens: int = TOKENS
) -> list[bool]:
    """Say for each row whether greedy decoding of its prompt gives its answer, token for token.

    *ids* are prompts followed by answers, which begin at *starts*. Each token of the answer must be the most probable
    one after the true tokens before it: as long as all are, greedy decoding has written the same prefix, and the first
    that is not is where it goes another way. An answer of no tokens is wrong: nothing was asked.
    """
    right = [False] * len(ids)
    for place, logits, answer in answer_logits(network, ids, starts, pad, tokens):
        right[place] = len(answer) > 0 and bool((logits.argmax(-1) == answer).all())
    return right
