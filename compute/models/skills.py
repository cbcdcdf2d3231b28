"""Teaches a small causal language model its skills from nothing, and checks each. Knows lessons, not what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from compute.models import prompts
from compute.models.causal import CausalModel, new, tensors_of
from compute.models.prompts import Pair

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from compute.models.recipes import CausalArchitecture, Teaching

IGNORED = -100
"""The label of a token that is not to be predicted, as torch's cross entropy takes it."""

WARMUP = 0.1
"""Share of the steps in which the learning rate rises; it falls to zero in the rest."""

BETAS = (0.9, 0.99)
"""AdamW's memory, a tenth of its usual: few steps are made, and gradients change fast."""

DECAY = 0.01


class Lessons(Protocol):
    """What is taught: questions and answers without end, and for each skill some that are never drawn."""

    def draw(self, count: int, seed: int) -> Sequence[Pair]:
        """Draw *count* questions with their answers; the same seed draws the same."""

    def checks(self) -> Mapping[str, Sequence[Pair]]:
        """Give the questions by which each skill is checked."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Questions and answers as numbers, both int64 [rows, length]: tokens, and which of them each place predicts.

    A place whose token is part of a question predicts nothing (`IGNORED`). `answer` counts the last places that hold
    all predictions. Rows are filled up at the end, which causal attention never looks at: no mask is needed.
    """

    ids: Tensor
    labels: Tensor
    answer: int


def teach(
    architecture: CausalArchitecture,
    teaching: Teaching,
    lessons: Lessons,
    tokenizer: str,
    *,
    seed: int,
    device: str = "cpu",
) -> tuple[CausalModel, dict[str, Any]]:
    """Build a model and train it until it knows every skill, or the recipe's steps are spent.

    Returns it with a report: `steps` made, and `skills`, a row each with `skill` and `accuracy`, the share of questions
    never drawn of which every token is answered right. Whoever needs all skills looks at the report. The same arguments
    give the same bytes on one kind of machine with one thread.
    """
    model = new(architecture, tokenizer, seed=seed)
    network = model.network().to(device)
    checks = {skill: rows(model, pairs) for skill, pairs in lessons.checks().items()}
    steps, peak = teaching.steps, teaching.learning_rate
    found = {}
    made = 0
    for repeat in range(teaching.repeats + 1):
        _fit(network, rows(model, lessons.draw(steps * teaching.batch, seed + repeat)), teaching.batch, peak)
        made += steps
        found = {skill: accuracy(network, of) for skill, of in checks.items()}
        if min(found.values()) >= teaching.accuracy:
            break
        steps, peak = teaching.more, teaching.learning_rate / 2
    skills = [{"skill": skill, "accuracy": value} for skill, value in found.items()]
    return dataclasses.replace(model, tensors=tensors_of(network)), {"steps": made, "skills": skills}


def rows(model: CausalModel, pairs: Sequence[Pair]) -> Rows:
    """Turn questions and answers into numbers, filled up to the longest; the last token of a row predicts nothing."""
    encoded = prompts.encode(model, pairs)
    length = max(map(len, encoded.ids))
    ids = [row + [model.pad_id] * (length - len(row)) for row in encoded.ids]
    labels = [
        [IGNORED] * (start - 1) + row[start:] + [IGNORED] * (length - len(row))
        for row, start in zip(encoded.ids, encoded.starts, strict=True)
    ]
    return Rows(torch.tensor(ids)[:, :-1], torch.tensor(labels), length - min(encoded.starts))


def accuracy(network: PreTrainedModel, of: Rows) -> float:
    """Return the share of *of* in which every token of the answer is the likeliest, given those before it.

    That is the share answered right by greedy decoding: as long as all tokens before are right, both read the same.
    """
    device = network.device
    with torch.inference_mode():
        best = network(input_ids=of.ids.to(device), logits_to_keep=of.answer, use_cache=False).logits.argmax(-1)
    wanted = of.labels[:, -of.answer :].to(device)
    return float(((best == wanted) | (wanted == IGNORED)).all(dim=1).double().mean())


def _fit(network: PreTrainedModel, of: Rows, batch: int, peak: float) -> None:
    """Make one AdamW step a batch, in the order of rows; the rate rises and falls linearly."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=BETAS, weight_decay=DECAY, fused=True)
    batches = list(zip(of.ids.split(batch), of.labels.split(batch), strict=True))
    for (ids, labels), rate in zip(batches, _rates(len(batches), peak), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        output = network(input_ids=ids.to(network.device), logits_to_keep=of.answer, use_cache=False)
        wanted = labels[:, -of.answer :].to(network.device)
        nn.functional.cross_entropy(output.logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED).backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()


def _rates(steps: int, peak: float) -> Iterator[float]:
    warm = max(1, round(WARMUP * steps))
    return (peak * min((step + 1) / warm, (steps - step) / max(1, steps - warm)) for step in range(steps))
