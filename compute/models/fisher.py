"""The diagonal of a classifier's Fisher information: how much each weight matters to what it says of some texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from compute.models.batches import Batch, batches, class_ids
from compute.models.checkpoint import Checkpoint
from compute.models.probing import logits_of, network_of, one_thread
from compute.models.squares import SquaredGradients

Kind = Literal["true", "empirical", "batch_sum"]
"""Which labels the gradients are of: see `fisher`."""


def fisher(
    model: Checkpoint,
    texts: Sequence[str],
    *,
    batch: int = 32,
    device: str = "cpu",
    kind: Kind = "true",
    samples: int | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Estimate the diagonal Fisher information of every parameter: float32 tensors of its name and shape, on the CPU.

    The "true" one is the mean over texts x of the sum over classes y of p(y|x) (d log p(y|x) / dθ)², each text's
    gradient squared by itself (Matena & Raffel 2022, https://arxiv.org/abs/2111.09832). It costs as
    many backward passes as there are classes; with *samples*, that many labels are drawn from p(y|x) for each text
    instead, by *seed* and the text's place, which has the same expectation. "empirical" takes one label a text,
    that of *labels*, or the class predicted where there are none. None of these depends on *batch*, but for
    rounding: it bounds the memory.

    "batch_sum" is for comparison with MergeLM (https://github.com/yule-BUAA/MergeLM), which squares the gradient
    of the sum of sqrt(p(y|x)) log p(y|x) over the classes and texts of a batch, taken here in the order of *texts*,
    and divides by the number of texts: gradients of different texts cancel, and the batch size changes the result.

    Buffers have no entry; a parameter of two names has one under each. ValueError for an unknown kind or label, for
    no texts, and for *samples* or *labels* where the kind has no use for them.
    """
    given = _check(model, texts, kind, samples, labels)
    with one_thread(), torch.enable_grad():
        network = network_of(model, device)
        if kind == "batch_sum":
            totals = _of_batch_sums(network, batches(model, texts, batch, device=device, by_length=False))
        else:
            draws = None if samples is None else _uniform(len(texts), samples, seed)
            totals = _of_examples(network, batches(model, texts, batch, device=device), kind, draws, given)
        names = network.named_parameters(remove_duplicate=False)
        return {name: (totals[parameter] / len(texts)).float().cpu() for name, parameter in names}


def _check(
    model: Checkpoint, texts: Sequence[str], kind: str, samples: int | None, labels: Sequence[str] | None
) -> Tensor | None:
    if kind not in ("true", "empirical", "batch_sum"):
        raise ValueError(f"no Fisher information of the kind {kind!r}: expected true, empirical or batch_sum")
    if samples is not None and (kind != "true" or samples < 1):
        raise ValueError(f"samples is a number of labels, 1 or more, drawn for the true kind: not {samples} for {kind}")
    if labels is None:
        return None
    if kind != "empirical" or len(labels) != len(texts):
        raise ValueError(f"labels are for the empirical kind, one a text: not {len(labels)} of {len(texts)} for {kind}")
    return class_ids(model, labels)


def _uniform(texts: int, samples: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(texts, samples, generator=rng, dtype=torch.float64)


def _of_examples(
    network: nn.Module, parts: Iterator[Batch], kind: Kind, draws: Tensor | None, given: Tensor | None
) -> dict[nn.Parameter, Tensor]:
    squares = SquaredGradients(network)
    for part in parts:
        with squares.watching():
            scores = logits_of(network, part.ids, part.mask).log_softmax(dim=1)
        likely = scores.detach().exp()
        if kind == "empirical":
            passes = iter([(likely.argmax(dim=1) if given is None else given[part.numbers], torch.ones(len(likely)))])
        elif draws is None:
            passes = _each_class(likely)
        else:
            passes = _drawn(likely, draws[part.numbers])
        for classes, shares in passes:
            chosen = scores.gather(1, classes.to(scores.device)[:, None])[:, 0]
            squares.add(shares.to(scores).sqrt() * chosen)
    return squares.totals


def _each_class(likely: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every class for all rows of p(y|x) [rows, classes], with the share that it has in each: [rows] both."""
    for number, shares in enumerate(likely.T):
        yield torch.full((len(likely),), number), shares


def _drawn(likely: Tensor, draws: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a class drawn for each row of p(y|x) by each column of the uniform *draws* [rows, samples]."""
    edges = likely.double().cpu().cumsum(dim=1)
    classes = torch.searchsorted(edges, draws * edges[:, -1:], right=True).clamp_(max=likely.shape[1] - 1)
    for column in classes.T:
        yield column, torch.full((len(likely),), 1 / draws.shape[1])


def _of_batch_sums(network: nn.Module, parts: Iterator[Batch]) -> dict[nn.Parameter, Tensor]:
    totals = {parameter: torch.zeros_like(parameter) for parameter in network.parameters()}
    for part in parts:
        scores = logits_of(network, part.ids, part.mask).log_softmax(dim=1)
        objective = (scores.detach().exp().sqrt() * scores).sum()
        for parameter, gradient in zip(
            totals, torch.autograd.grad(objective, list(totals), materialize_grads=True, allow_unused=True), strict=True
        ):
            totals[parameter] += gradient.square()
    return totals
