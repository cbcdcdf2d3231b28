"""Picks the choice that a model finds most likely. Knows token ids, not texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from compute.evaluation.answers._batches import TOKENS, answer_logits

if TYPE_CHECKING:
    from torch import nn

Rule = Literal["sum", "mean"]
"""What of a choice's tokens' log-probabilities is compared: their sum, or their mean, which does not favour short
texts (normalised by tokens)."""


def rule_for(choices: Sequence[str]) -> Rule:
    """Compare letters by the sum, and texts, which differ in length, by the mean."""
    return "sum" if all(len(choice.strip()) <= 1 for choice in choices) else "mean"


def likelihoods(
    network: nn.Module,
    ids: Sequence[Sequence[int]],
    starts: Sequence[int],
    *,
    pad: int,
    rule: Rule = "sum",
    tokens: int = TOKENS,
) -> list[float]:
    """Compute log P(answer | prompt) of each row, in nats: float64 sums over tokens, or their means.

    *ids* are prompts followed by answers, which begin at *starts*; an answer of no tokens has minus infinity.
    """
    found = [-math.inf] * len(ids)
    for place, logits, answer in answer_logits(network, ids, starts, pad, tokens):
        if len(answer):
            chosen = logits.double().log_softmax(-1).gather(-1, answer[:, None])
            found[place] = float(chosen.sum() if rule == "sum" else chosen.mean())
    return found


def best(values: Sequence[float], counts: Sequence[int]) -> list[int]:
    """Return for each question the place of its likeliest choice; *values* has *counts* choices of each in a row.

    Of equal ones the first. A value that is no number never wins.
    """
    found, start = [], 0
    for count in counts:
        own = [-math.inf if math.isnan(value) else value for value in values[start : start + count]]
        found.append(max(range(count), key=own.__getitem__))
        start += count
    return found
