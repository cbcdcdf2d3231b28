"""Trains classifiers in a plain loop: the same seed, the same bytes. Knows texts and labels, not files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compute.models.batches import class_ids, encode, pad
from compute.models.checkpoint import Checkpoint
from compute.models.parallel import ranking_loss, with_translations
from compute.models.recipes import Finetuning, Pretraining
from compute.models.tokenizer import SPECIAL

WARMUP = 0.1
"""Share of the steps in which the learning rate rises; it falls to zero in the rest."""

WINDOW = 16
"""Batches within which texts are sorted by length, so that little of a batch is padding."""


@dataclass(frozen=True)
class Examples:
    """Texts as token ids, with the id of each text's class."""

    ids: list[list[int]]
    classes: Tensor

    @property
    def lengths(self) -> Tensor:
        """Count the tokens of each text."""
        return torch.tensor([len(row) for row in self.ids])


Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""What a step makes smaller: of the network's output, the attention mask and the numbers of the examples."""


def pretrain(
    start: Checkpoint,
    texts: Sequence[str],
    labels: Sequence[str],
    locales: Sequence[str],
    recipe: Pretraining,
    *,
    seed: int,
    ids: Sequence[int] | None = None,
    device: str = "cpu",
) -> Checkpoint:
    """Teach *start* its classes in all locales at once; texts are drawn with the weights of their locales.

    With scenarios as classes and `with_head` afterwards, this makes a base model that knows its languages
    and no intent, and gives all experts one head to begin with, so that heads may be merged. Under
    `recipe.alignment` half of each batch are translations of the other half, texts of the same of *ids*.
    """
    if recipe.alignment and ids is None:
        raise ValueError("alignment needs the ids of the texts, to know which are translations of each other")
    examples = _examples(start, texts, labels)
    weights = torch.tensor([recipe.amounts.get(locale, 1.0) for locale in locales])
    rng = torch.Generator().manual_seed(seed)
    size = recipe.batch // 2 if recipe.alignment else recipe.batch
    drawn = torch.multinomial(weights, recipe.steps * size, replacement=True, generator=rng)
    batches = _batches(examples.lengths, drawn, size, rng)
    loss = _class_loss(examples)
    if recipe.alignment and ids is not None:
        pairs = with_translations(torch.cat(batches), ids, locales, weights, rng)
        batches = [pair.T.flatten() for pair in pairs.split(size)]
        loss = _aligned_loss(examples, torch.tensor(ids), recipe.alignment)
    return _fit(start, examples, batches, loss, recipe, rng=rng, device=device)


def finetune(
    base: Checkpoint,
    texts: Sequence[str],
    labels: Sequence[str],
    recipe: Finetuning,
    *,
    seed: int,
    device: str = "cpu",
) -> Checkpoint:
    """Fine-tune *base* on one locale's texts and their labels, names of the base's own classes.

    AdamW without weight decay, so that the embeddings of tokens that do not occur stay exactly as they are.
    """
    examples = _examples(base, texts, labels)
    rng = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(texts), generator=rng) for _ in range(recipe.epochs)])
    batches = _batches(examples.lengths, order, recipe.batch, rng)
    return _fit(base, examples, batches, _class_loss(examples), recipe, rng=rng, device=device)


def _examples(model: Checkpoint, texts: Sequence[str], labels: Sequence[str]) -> Examples:
    return Examples(encode(model, texts), class_ids(model, labels))


def _class_loss(examples: Examples) -> Loss:
    def loss(output: Any, mask: Tensor, batch: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output.logits, examples.classes[batch].to(mask.device))

    return loss


def _aligned_loss(examples: Examples, ids: Tensor, weight: float) -> Loss:
    of_classes = _class_loss(examples)

    def loss(output: Any, mask: Tensor, batch: Tensor) -> Tensor:
        meanings = ids[batch[: len(batch) // 2]].to(mask.device)
        ranking = ranking_loss(output.hidden_states[-1], mask, meanings)
        return of_classes(output, mask, batch) + weight * ranking

    return loss


def _fit(
    model: Checkpoint,
    examples: Examples,
    batches: Sequence[Tensor],
    loss: Loss,
    recipe: Pretraining | Finetuning,
    *,
    rng: torch.Generator,
    device: str,
) -> Checkpoint:
    """Train a copy of *model*, one AdamW step a batch, its rate rising and falling linearly."""
    own = {name: tensor.clone() for name, tensor in model.tensors.items()}
    network = dataclasses.replace(model, tensors=own).network().to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warmup_and_decay(len(batches)))
    corrupt = _word_dropout(recipe.word_dropout, rng)
    with torch.random.fork_rng(devices=_cuda(device)):
        torch.manual_seed(rng.initial_seed())
        for batch in batches:
            ids, mask = pad([examples.ids[row] for row in batch.tolist()], model.pad_id)
            ids, mask = corrupt(ids).to(device), mask.to(device)
            loss(network(input_ids=ids, attention_mask=mask, output_hidden_states=True), mask, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return dataclasses.replace(model, tensors=tensors)


def _batches(lengths: Tensor, order: Tensor, size: int, rng: torch.Generator) -> list[Tensor]:
    """Cut *order* into batches of like lengths: sort within windows, then shuffle the window's batches."""
    batches: list[Tensor] = []
    for window in order.split(size * WINDOW):
        ranked = window[lengths[window].argsort(stable=True)].split(size)
        batches += [ranked[int(index)] for index in torch.randperm(len(ranked), generator=rng)]
    return batches


def _word_dropout(share: float, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Replace that share of the ordinary tokens by <unk> (Iyyer et al. 2015, word dropout)."""
    unknown = SPECIAL.index("<unk>")

    def corrupt(ids: Tensor) -> Tensor:
        dropped = (torch.rand(ids.shape, generator=rng) < share) & (ids >= len(SPECIAL))
        return ids.masked_fill(dropped, unknown)

    return corrupt if share else lambda ids: ids


def _warmup_and_decay(steps: int) -> Callable[[int], float]:
    warm = max(1, round(WARMUP * steps))
    return lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def _cuda(device: str) -> list[torch.device]:
    return [torch.device(device)] if device.startswith("cuda") else []
