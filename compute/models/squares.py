"""Squares of each example's own gradient, summed over a batch that ran together. Knows layers, not texts or models.

The gradient of a layer's weights is a sum over positions of what goes into the layer times the gradient of what
comes out, so one backward pass to the outputs of all layers yields the gradients of every example apart, and
none of them is larger than a layer (Goodfellow 2015, https://arxiv.org/abs/1510.01799). What is no linear layer,
layer norm or embedding, or is shared, runs backward one example at a time: as exact, and slower.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compute.models.probing import watched

CACHE = 2**18
"""Numbers that a CPU keeps at hand: so many entries of single examples' gradients are squared together."""

MEMORY = 2**26
"""The same for other devices, which are better at many at once."""

Calls = list[tuple[Tensor, Tensor]]
"""What went into a layer and what came out of it, for each time that it ran."""

Totals = dict[nn.Parameter, Tensor]
"""A sum of squares for each parameter, of its shape."""


class SquaredGradients:
    """For each parameter of *network*, the sum over examples of the squared gradient of the example's objective."""

    def __init__(self, network: nn.Module):
        self.totals = {parameter: torch.zeros_like(parameter) for parameter in network.parameters()}
        owners = Counter(parameter for module in network.modules() for parameter in _own(module))
        self._layers = [m for m in network.modules() if _has_rule(m) and all(owners[p] == 1 for p in _own(m))]
        self._calls: dict[nn.Module, Calls] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Remember what goes through the layers while the network runs once, on one batch."""
        calls = self._calls = defaultdict(list)

        def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[module].append((inputs[0].detach() if inputs else torch.empty(0), output))

        with watched(self._layers, see):
            yield

    def add(self, objectives: Tensor) -> None:
        """Add the squared gradients of *objectives* [rows], each a number of its own example and of no other."""
        rows = len(objectives)
        calls = {module: seen for module, seen in self._calls.items() if _by_example(seen, rows)}
        outputs = [output for seen in calls.values() for _, output in seen]
        gradients = iter(_gradients(objectives.sum(), outputs))
        with torch.no_grad():
            for module, seen in calls.items():
                inputs = torch.cat([_flat(given, rows) for given, _ in seen], dim=1)
                upstream = torch.cat([_flat(next(gradients), rows) for _ in seen], dim=1)
                RULES[type(module)](module, inputs, upstream, self.totals)
        self._add_one_by_one(objectives, {parameter for module in calls for parameter in _own(module)})

    def _add_one_by_one(self, objectives: Tensor, done: Collection[nn.Parameter]) -> None:
        left = [parameter for parameter in self.totals if parameter not in done]
        for objective in objectives if left else ():
            for parameter, gradient in zip(left, _gradients(objective, left), strict=True):
                self.totals[parameter] += gradient.square()


def _linear(layer: nn.Linear, inputs: Tensor, upstream: Tensor, totals: Totals) -> None:
    """Square, per example, upstream^T inputs [out, in], and the sum of upstream over positions [out]."""
    if layer.bias is not None:
        totals[layer.bias] += upstream.sum(dim=1).square_().sum(dim=0)
    total = totals[layer.weight]
    together = (CACHE if total.device.type == "cpu" else MEMORY) // total.numel()
    if inputs.shape[1] == 1:  # the square of an outer product is the outer product of the squares
        total.addmm_(upstream[:, 0].square().T, inputs[:, 0].square())
    elif together > 1:
        for some, above in zip(inputs.split(together), upstream.split(together), strict=True):
            total += torch.bmm(above.transpose(1, 2), some).square_().sum(dim=0)
    else:
        gradient = torch.empty_like(total)
        for one, above in zip(inputs, upstream, strict=True):
            torch.mm(above.T, one, out=gradient)
            total.addcmul_(gradient, gradient)


def _layer_norm(layer: nn.LayerNorm, inputs: Tensor, upstream: Tensor, totals: Totals) -> None:
    """Square, per example, the sums over positions of upstream times the normalised inputs, and of upstream."""
    if layer.bias is not None:
        totals[layer.bias] += upstream.sum(dim=1).square_().sum(dim=0)
    if layer.weight is not None:
        normalised = nn.functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        totals[layer.weight] += (upstream * normalised).sum(dim=1).square_().sum(dim=0)


def _embedding(layer: nn.Embedding, ids: Tensor, upstream: Tensor, totals: Totals) -> None:
    """Square, per example and id, the sum of upstream over the id's positions; the padding id has no gradient."""
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    pairs, place = (rows * layer.num_embeddings + ids).unique(return_inverse=True)
    sums = upstream.new_zeros(len(pairs), upstream.shape[-1])
    sums.index_add_(0, place.flatten(), upstream.flatten(0, 1))
    used = pairs % layer.num_embeddings
    if layer.padding_idx is not None:
        sums[used == layer.padding_idx] = 0
    totals[layer.weight].index_add_(0, used, sums.square_())


RULES: dict[type, Callable[[Any, Tensor, Tensor, Totals], None]] = {
    nn.Linear: _linear,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
}
"""How a layer's totals grow, from its inputs and the gradients of its outputs [rows, positions, ...]."""


def _has_rule(module: nn.Module) -> bool:
    """Say whether a rule holds for *module*; subclasses may compute anything."""
    several = isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1
    return type(module) in RULES and not several


def _own(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _by_example(seen: Calls, rows: int) -> bool:
    """Say whether the first dimension of all that went in and came out counts the examples."""
    return all(len(given) == rows == len(output) and output.ndim > 1 for given, output in seen)


def _flat(values: Tensor, rows: int) -> Tensor:
    """Lay all positions of an example in one dimension: [rows, positions, features], or [rows, positions] for ids."""
    return values.reshape(rows, -1, values.shape[-1]) if values.is_floating_point() else values.reshape(rows, -1)


def _gradients(objective: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """Differentiate by *inputs*, zeros where *objective* does not depend on them; the graph stays for more."""
    if not inputs:
        return ()
    gradients: Sequence[Tensor] = torch.autograd.grad(
        objective, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return gradients
