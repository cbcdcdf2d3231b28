"""Trains classifiers in a plain loop: the same seed, the same bytes. Knows texts and labels, not files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compute.models.checkpoint import Checkpoint
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


def pretrain(
    start: Checkpoint,
    texts: Sequence[str],
    labels: Sequence[str],
    locales: Sequence[str],
    recipe: Pretraining,
    *,
    seed: int,
    device: str = "cpu",
) -> Checkpoint:
    """Teach *start* its classes in all locales at once; texts are drawn with the weights of their locales.

    With scenarios as classes and `with_head` afterwards, this makes a base model that knows its languages
    and no intent, and gives all experts one head to begin with, so that heads may be merged.
    """
    examples = _examples(start, texts, labels)
    weights = torch.tensor([recipe.amounts.get(locale, 1.0) for locale in locales])
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(weights, recipe.steps * recipe.batch, replacement=True, generator=rng)
    return _fit(start, examples, drawn, recipe, rng=rng, device=device)


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
    return _fit(base, examples, order, recipe, rng=rng, device=device)


def _examples(model: Checkpoint, texts: Sequence[str], labels: Sequence[str]) -> Examples:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.tokenizer)
    tokenizer.enable_truncation(model.max_length)
    number = {name: index for index, name in enumerate(model.labels)}
    if unknown := sorted(set(labels) - number.keys()):
        raise ValueError(f"the model has no class {unknown[0]!r}: it has {', '.join(model.labels)}")
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    return Examples(ids, torch.tensor([number[label] for label in labels]))


def _fit(
    model: Checkpoint,
    examples: Examples,
    order: Tensor,
    recipe: Pretraining | Finetuning,
    *,
    rng: torch.Generator,
    device: str,
) -> Checkpoint:
    """Train a copy of *model* on the examples in *order* (indices, cut into batches)."""
    own = {name: tensor.clone() for name, tensor in model.tensors.items()}
    network = dataclasses.replace(model, tensors=own).network().to(device).train()
    batches = _batches(examples, order, recipe.batch, rng)
    with torch.random.fork_rng(devices=_cuda(device)):
        torch.manual_seed(rng.initial_seed())
        _run(network, examples, batches, recipe.learning_rate, _word_dropout(recipe.word_dropout, rng))
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return dataclasses.replace(model, tensors=tensors)


def _run(
    network: nn.Module,
    examples: Examples,
    batches: Sequence[Tensor],
    learning_rate: float,
    corrupt: Callable[[Tensor], Tensor],
) -> None:
    """Take one AdamW step a batch, the rate rising and falling linearly."""
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warmup_and_decay(len(batches)))
    for batch in batches:
        ids, mask = _pad([examples.ids[index] for index in batch.tolist()])
        logits = network(input_ids=corrupt(ids).to(device), attention_mask=mask.to(device)).logits
        nn.functional.cross_entropy(logits, examples.classes[batch].to(device)).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Fill *rows* up to the longest: ids and mask (1 for a token, 0 for padding), both [rows, length]."""
    ids = nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True, padding_value=SPECIAL.index("<pad>")
    )
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def _batches(examples: Examples, order: Tensor, size: int, rng: torch.Generator) -> list[Tensor]:
    """Cut *order* into batches of like lengths: sort within windows, then shuffle the window's batches."""
    lengths = torch.tensor([len(row) for row in examples.ids])
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
