"""Trains LoRA adapters, one by PEFT or many in one network, to the same bits. Knows token ids, not prompts or files."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.attached import Attached, attach, attach_by_peft, targets_of
from compute.adapters.recipes import LoraRecipe

if TYPE_CHECKING:
    from compute.models.prompts import Encoded


class Batch(NamedTuple):
    """Examples filled up to the longest of them: ids [rows, tokens], each row's length and its target's start."""

    ids: Tensor
    lengths: Tensor
    starts: Tensor


@dataclass(frozen=True)
class Course:
    """What one task's adapter is shown, step by step: its examples, and which of them in each step."""

    examples: Batch
    steps: tuple[Tensor, ...]

    def batch(self, step: int) -> Batch:
        """Return what is shown in *step*, as wide as the longest example in it."""
        rows = self.steps[step]
        lengths = self.examples.lengths[rows]
        return Batch(self.examples.ids[rows, : int(lengths.max())], lengths, self.examples.starts[rows])


def initial(network: nn.Module, recipe: LoraRecipe, seed: int) -> Adapter:
    """Draw an adapter to start from, by PEFT's default: A uniform in ±1/√in, B zero, so that ΔW is zero.

    Modules are drawn in the network's order from one generator; PEFT draws more between them, so its own A differ.
    """
    rng = torch.Generator().manual_seed(seed)
    linears = targets_of(network, recipe.targets)
    return Adapter({name: _initial(linear, recipe, rng) for name, linear in linears.items()})


def _initial(linear: nn.Linear, recipe: LoraRecipe, rng: torch.Generator) -> Factors:
    bound = linear.in_features**-0.5
    a = torch.empty(recipe.rank, linear.in_features).uniform_(-bound, bound, generator=rng)
    return Factors(a.numpy(), np.zeros((linear.out_features, recipe.rank), np.float32), recipe.scale)


def train(
    network: nn.Module,
    tasks: Mapping[str, Encoded],
    initial: Mapping[str, Adapter],
    recipe: LoraRecipe,
    *,
    seed: int,
    pad_id: int,
    device: str = "cpu",
) -> dict[str, Adapter]:
    """Train an adapter for each of *tasks*, from its own of *initial*; the network is the same before and after.

    Each adapter learns to continue its examples from their starts on. It depends on its own start, its examples, its
    name and the seed alone, not on which tasks are trained beside it: to the last bit on a CPU with one thread (see
    compute.adapters.attached). The order of a task's examples comes from the seed and the task's name, so it is the
    same for two networks given the same seed. Raises ValueError for a network that is not in the recipe's dtype.
    """
    _require_dtype(network, recipe)
    network.to(device)
    courses = {name: _course(examples, recipe, _seed(seed, name), pad_id) for name, examples in tasks.items()}
    trained: dict[str, Adapter] = {}
    with _frozen(network):
        for names in _groups({name: len(one.steps) for name, one in courses.items()}, recipe.together):
            adapters = _train_together(
                network, [courses[name] for name in names], [initial[name] for name in names], recipe
            )
            trained.update(zip(names, adapters, strict=True))
    return {name: trained[name] for name in tasks}


def _train_together(
    network: nn.Module, courses: Sequence[Course], initial: Sequence[Adapter], recipe: LoraRecipe
) -> list[Adapter]:
    attached = attach_by_peft(network, initial[0]) if len(initial) == 1 else attach(network, initial)
    try:
        _fit(network, attached, courses, recipe)
        return attached.adapters()
    finally:
        attached.detach()


def _fit(network: nn.Module, attached: Attached, courses: Sequence[Course], recipe: LoraRecipe) -> None:
    """Train the adapters *attached* to *network*, each on its own of *courses*, all of as many steps."""
    steps = len(courses[0].steps)
    parameters = [parameter.requires_grad_() for parameter in attached.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.0, fused=True)
    factor = _warmup_and_decay(steps, recipe.warmup)
    with _checkpointed(network) if recipe.checkpointing else nullcontext():
        for step in range(steps):
            for places, batches in _alike([course.batch(step) for course in courses]):
                attached.only(None if len(places) == len(courses) else places)
                _loss(network, batches).backward()
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * factor(step)
            optimizer.step()
            optimizer.zero_grad()


def _course(examples: Encoded, recipe: LoraRecipe, seed: int, pad_id: int) -> Course:
    """Draw which examples are shown in each step: `recipe.steps` full batches, or each example once an epoch."""
    ids = [list(row)[: recipe.max_length] for row in examples.ids[: recipe.examples]]
    if not ids:
        raise ValueError("there is no example to train an adapter on")
    longest = max(map(len, ids))
    padded = torch.tensor([row + [pad_id] * (longest - len(row)) for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    starts = torch.tensor(list(examples.starts[: recipe.examples]))
    return Course(Batch(padded, lengths, starts), tuple(_steps(len(ids), recipe, seed)))


def _steps(count: int, recipe: LoraRecipe, seed: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    if recipe.steps is None:
        epochs = range(recipe.epochs or 0)
        return [rows for _ in epochs for rows in torch.randperm(count, generator=rng).split(recipe.batch)]
    wanted = recipe.steps * recipe.batch
    order = torch.cat([torch.randperm(count, generator=rng) for _ in range(-(-wanted // count))])
    return list(order[:wanted].split(recipe.batch))


def _seed(seed: int, task: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {task}".encode()).digest()[:4])


def _groups(steps: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yield the tasks that are trained at once: of as many steps, since the rate at each depends on their number."""
    alike: defaultdict[int, list[str]] = defaultdict(list)
    for name, count in steps.items():
        alike[count].append(name)
    for names in alike.values():
        for first in range(0, len(names), most):
            yield names[first : first + most]


def _alike(batches: Sequence[Batch]) -> list[tuple[list[int], list[Batch]]]:
    """Part batches by shape: filled up to the length of another task's, the last bits of a result could differ."""
    alike: defaultdict[Any, list[int]] = defaultdict(list)
    for place, batch in enumerate(batches):
        alike[batch.ids.shape].append(place)
    return [(places, [batches[place] for place in places]) for places in alike.values()]


def _loss(network: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """Sum the batches' losses: of each the mean cross-entropy of the tokens of its targets.

    Padding is on the right, where a causal network does not look, so no mask is needed. Logits are computed only
    where a token of a target is predicted.
    """
    ids, lengths, starts = (torch.cat(parts) for parts in zip(*batches, strict=True))
    position = torch.arange(1, ids.shape[1])
    wanted = ((position >= starts[:, None]) & (position < lengths[:, None])).view(len(batches), -1)
    weights = (1 / wanted.sum(1)).repeat_interleave(wanted.sum(1))
    places = wanted.flatten().nonzero()[:, 0]
    labels = ids[:, 1:].flatten()[places]
    device = next(network.parameters()).device
    hidden = network.get_decoder()(input_ids=ids[:, :-1].to(device), use_cache=False).last_hidden_state
    logits = network.get_output_embeddings()(hidden.flatten(0, 1).index_select(0, places.to(device)))
    losses = nn.functional.cross_entropy(logits.float(), labels.to(device), reduction="none")
    return (losses * weights.to(device)).sum()


def _warmup_and_decay(steps: int, warmup: float) -> Callable[[int], float]:
    warm = round(warmup * steps)
    return lambda step: (step + 1) / warm if step < warm else (steps - step) / (steps - warm)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients of the network's own weights, and drop nothing out; leave it as it was afterwards."""
    flags = {weight: weight.requires_grad for weight in network.parameters()}
    training = network.training
    network.eval().requires_grad_(False)
    try:
        yield
    finally:
        network.train(training)
        for weight, flag in flags.items():
            weight.requires_grad_(flag)


@contextmanager
def _checkpointed(network: nn.Module) -> Iterator[None]:
    """Compute activations again in the backward pass, which transformers does in training mode alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older names, which all versions that we take know
        network.gradient_checkpointing_enable({"use_reentrant": False})
        network.train()
        try:
            yield
        finally:
            network.eval()
            network.gradient_checkpointing_disable()


def _require_dtype(network: nn.Module, recipe: LoraRecipe) -> None:
    dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
    if dtype != recipe.dtype:
        raise ValueError(f"the recipe trains on a network in {recipe.dtype}: found one in {dtype}")
