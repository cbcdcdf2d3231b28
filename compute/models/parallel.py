"""Draws translations in pairs and teaches a network to find them. Knows ids and hidden states, not texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

TEMPERATURE = 0.1
"""Divides cosines before they are compared: the smaller, the more the nearest strangers count."""


def with_translations(
    drawn: Tensor, ids: Sequence[int], locales: Sequence[str], weights: Tensor, rng: torch.Generator
) -> Tensor:
    """Draw for each row in *drawn* a row of the same id in another locale: pairs [draws, 2].

    *weights* are those of all rows. Raises ValueError for a row that has no translation to draw.
    """
    places, columns = sorted(set(ids)), sorted(set(locales))
    row_of, column_of = ({name: number for number, name in enumerate(names)} for names in (places, columns))
    row = torch.tensor([row_of[name] for name in ids])
    column = torch.tensor([column_of[name] for name in locales])
    which = torch.zeros(len(places), len(columns), dtype=torch.long)
    chance = torch.zeros(len(places), len(columns))
    which[row, column] = torch.arange(len(ids))
    chance[row, column] = weights
    others = chance[row[drawn]].scatter(1, column[drawn][:, None], 0.0)
    if len(alone := drawn[others.sum(dim=1) == 0]):
        raise ValueError(f"id {ids[int(alone[0])]} is in no other locale: without translations, set alignment to 0")
    second = torch.multinomial(others, 1, generator=rng)
    return torch.stack([drawn, which[row[drawn], second[:, 0]]], dim=1)


def ranking_loss(hidden: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
    """Compute how badly each text finds its translation among those of the batch, both ways.

    *hidden* [2n, length, width] holds n texts, then their translations in the same order; *mask* tells tokens
    from padding, *ids* [n] which texts mean the same, so that no true translation counts as a stranger.
    Translation ranking: Guo et al. 2018, https://arxiv.org/abs/1807.11906; LaBSE, Feng et al. 2022.
    """
    tokens = mask[:, :, None]
    means = nn.functional.normalize((hidden * tokens).sum(dim=1) / tokens.sum(dim=1), dim=1)
    first, second = means.chunk(2)
    same = (ids[:, None] == ids) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    scores = (first @ second.T / TEMPERATURE).masked_fill(same, -torch.inf)
    found = torch.arange(len(ids), device=ids.device)
    return (nn.functional.cross_entropy(scores, found) + nn.functional.cross_entropy(scores.T, found)) / 2
