"""Adapters attached to a causal network, several at once: one forward pass asks all of them. Trains nothing.

A network with T adapters takes a batch whose rows are ordered by adapter: the first batch / T rows are asked with the
first adapter, and so on. A row gets what its adapter alone gives, and what PEFT (https://github.com/huggingface/peft)
gives for it, to the last bit on a CPU with one thread: the arithmetic is PEFT's, in its order. That holds where widths
are multiples of 16, as those of real models are; else the last values of an array, too few to fill a vector register,
are computed by other instructions. As in PEFT, A and B are float32 also where the network is bfloat16: what they add
is computed in float32, added to the module's own output, and rounded once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from compute.adapters.adapter import Adapter, Factors
from compute.errors import UsageError


class Attached(Protocol):
    """Adapters in the modules of a network, however they came there."""

    def adapters(self) -> list[Adapter]:
        """Return the adapters as they are now."""

    def parameters(self) -> list[Tensor]:
        """Return all A and B, to be trained."""

    def only(self, places: Sequence[int] | None) -> None:
        """Ask but the adapters at *places* from now on, in that order; None asks all again."""

    def detach(self) -> None:
        """Leave the network as it was before, bit for bit."""


def attach(network: nn.Module, adapters: Sequence[Adapter]) -> Stack:
    """Attach *adapters*, all for the same modules and of one rank in each, until `detach` or the end of a `with`.

    Batches must then be ordered by adapter, and divisible by their number. Raises UsageError for adapters that do not
    fit the network or each other.
    """
    return Stack(network, adapters)


class Stack:
    """Adapters attached side by side: A as [T, rank, in] and B as [T, out, rank] for each module of the network."""

    def __init__(self, network: nn.Module, adapters: Sequence[Adapter]) -> None:
        if not adapters:
            raise ValueError("there is no adapter to attach")
        linears = {name: _linear(network, name) for name in adapters[0].modules}
        self._modules = {name: _StackedFactors(linear.weight.device) for name, linear in linears.items()}
        self._linears = linears
        self.swap(adapters)
        self._hooks = [linears[name].register_forward_hook(stacked) for name, stacked in self._modules.items()]

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.detach()

    def swap(self, adapters: Sequence[Adapter]) -> None:
        """Put *adapters*, for the same modules, in the place of those attached: a copy of A and B, no more."""
        _require_same_modules(self._modules, adapters)
        for name, linear in self._linears.items():
            factors = [adapter.modules[name] for adapter in adapters]
            _require_fitting(name, linear, factors)
            self._modules[name].load(factors)

    def fits(self, adapter: Adapter) -> bool:
        """Whether *adapter* is for the same modules, so that it can be swapped in for one."""
        return adapter.modules.keys() == self._modules.keys()

    def adapters(self) -> list[Adapter]:
        """Return the adapters as they are now."""
        unstacked = {name: stacked.factors() for name, stacked in self._modules.items()}
        count = len(next(iter(unstacked.values())))
        return [Adapter({name: factors[place] for name, factors in unstacked.items()}) for place in range(count)]

    def parameters(self) -> list[Tensor]:
        """Return A and B of each module, all adapters' in one tensor."""
        return [tensor for stacked in self._modules.values() for tensor in (stacked.a, stacked.b)]

    def only(self, places: Sequence[int] | None) -> None:
        """Ask but the adapters at *places* from now on, in that order; None asks all again."""
        for stacked in self._modules.values():
            stacked.chosen = None if places is None else torch.tensor(places, device=stacked.device)

    def detach(self) -> None:
        """Leave the network as it was before, bit for bit."""
        for hook in self._hooks:
            hook.remove()


class _StackedFactors:
    """The LoRAs of one module, side by side; a forward hook that adds what they change to the module's output."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.a = self.b = torch.empty(0, device=device)
        self.scales: list[float] = []
        self.scale: float | Tensor = 1.0
        self.chosen: Tensor | None = None

    def load(self, factors: Sequence[Factors]) -> None:
        self.a = _filled(self.a, np.stack([one.a for one in factors]))
        self.b = _filled(self.b, np.stack([one.b for one in factors]))
        self.scales = [one.scale for one in factors]
        alike = len(set(self.scales)) == 1
        self.scale = self.scales[0] if alike else torch.tensor(self.scales, device=self.device)[:, None, None]

    def factors(self) -> list[Factors]:
        a, b = (tensor.detach().cpu().numpy().copy() for tensor in (self.a, self.b))
        return [Factors(*one) for one in zip(a, b, self.scales, strict=True)]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        a, b, scale = self.a, self.b, self.scale
        if self.chosen is not None:
            a, b = a[self.chosen], b[self.chosen]
            scale = scale[self.chosen] if isinstance(scale, Tensor) else scale
        (x,) = inputs
        if len(x) % len(a):
            raise ValueError(f"a batch of {len(x)} rows cannot be shared out evenly among {len(a)} adapters")
        added = _LowRank.apply(x.to(a.dtype).reshape(len(a), -1, x.shape[-1]), a, b) * scale
        return (output + added.view(output.shape)).to(output.dtype)


class _LowRank(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
    """x Aᵀ Bᵀ for each adapter, with the gradient of A as PEFT's: autograd's own product is Aᵀ's, of other last bits.

    x is [T, rows, in], A [T, rank, in], B [T, out, rank].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        inner = torch.bmm(x, a.transpose(1, 2))
        ctx.save_for_backward(x, a, b, inner)
        return torch.bmm(inner, b.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, a, b, inner = ctx.saved_tensors
        grad_inner = torch.bmm(grad, b)
        grad_x = torch.bmm(grad_inner, a) if ctx.needs_input_grad[0] else None
        return grad_x, torch.bmm(grad_inner.transpose(1, 2), x), torch.bmm(grad.transpose(1, 2), inner)


def attach_by_peft(network: nn.Module, adapter: Adapter) -> InPeft:
    """Attach one *adapter*, whose modules are all of one rank and scale, by PEFT itself, until `detach`.

    Raises UsageError for an adapter that does not fit the network.
    """
    return InPeft(network, adapter)


class InPeft:
    """An adapter in PEFT's own layers."""

    def __init__(self, network: nn.Module, adapter: Adapter) -> None:
        from peft import LoraConfig, get_peft_model

        for name, one in adapter.modules.items():
            _require_fitting(name, _linear(network, name), [one])
        ((rank, scale),) = {(one.rank, one.scale) for one in adapter.modules.values()}
        config = LoraConfig(r=rank, lora_alpha=scale * rank, target_modules=list(adapter.modules), lora_dropout=0.0)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT reads an attribute that transformers renamed
            self._model = get_peft_model(network, config)
        self._layers = {name: network.get_submodule(name) for name in adapter.modules}
        self._scale = scale
        for name, one in adapter.modules.items():
            for tensor, values in zip(self._weights(name), (one.a, one.b), strict=True):
                _filled(tensor, values)

    def adapters(self) -> list[Adapter]:
        """Return the adapter as it is now."""
        return [Adapter({name: Factors(*self._arrays(name), self._scale) for name in self._layers})]

    def parameters(self) -> list[Tensor]:
        """Return A and B of each module."""
        return [tensor for name in self._layers for tensor in self._weights(name)]

    def only(self, places: Sequence[int] | None) -> None:
        """Do nothing: there is but one adapter."""

    def detach(self) -> None:
        """Take PEFT's layers out of the network."""
        self._model.unload()

    def _weights(self, name: str) -> tuple[Tensor, Tensor]:
        layer = self._layers[name]
        return layer.lora_A["default"].weight, layer.lora_B["default"].weight

    def _arrays(self, name: str) -> tuple[Any, Any]:
        a, b = (tensor.detach().cpu().numpy().copy() for tensor in self._weights(name))
        return a, b


def targets_of(network: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """Return the linear modules of *network* whose names end in one of *targets*, by name, in the network's order."""
    ends = tuple(f".{target}" for target in targets)
    found = {name: module for name, module in network.named_modules() if f".{name}".endswith(ends)}
    linears = {name: module for name, module in found.items() if isinstance(module, nn.Linear)}
    missing = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in linears)]
    if missing:
        raise UsageError(f"the network has no linear module named {missing[0]!r}, which is to get a LoRA: see targets")
    return linears


def _filled(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    """Copy *values* into *tensor* where they fit in it, else into a new one."""
    new = torch.tensor(values, dtype=torch.float32, device=tensor.device)
    if new.shape != tensor.shape:
        return new
    with torch.no_grad():
        return tensor.copy_(new)


def _linear(network: nn.Module, name: str) -> nn.Linear:
    try:
        module = network.get_submodule(name)
    except AttributeError:
        module = None
    if not isinstance(module, nn.Linear):
        raise UsageError(f"the adapter is for {name!r}, but the network has no linear module of that name")
    return module


def _require_same_modules(modules: Mapping[str, object], adapters: Sequence[Adapter]) -> None:
    for adapter in adapters:
        for name in modules.keys() ^ adapter.modules.keys():
            raise UsageError(f"adapters attached together must be for the same modules: {name!r} is not in all of them")


def _require_fitting(name: str, linear: nn.Linear, factors: Sequence[Factors]) -> None:
    wide, high = linear.in_features, linear.out_features
    for one in factors:
        if one.a.shape[1] != wide or one.b.shape[0] != high:
            raise UsageError(
                f"the adapter does not fit the network at {name!r}: it is from {one.a.shape[1]} to {one.b.shape[0]} "
                f"values, the module from {wide} to {high}"
            )
    if len({one.rank for one in factors}) > 1:
        ranks = sorted({one.rank for one in factors})
        raise UsageError(f"adapters attached together must have one rank: at {name!r} they have {ranks}")
