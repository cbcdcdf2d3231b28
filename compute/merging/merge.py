"""Merges experts into one state dict, tensor by tensor. Knows state dicts, no architecture and no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from compute import plugins
from compute.errors import UsageError
from compute.merging.dare import dare
from compute.merging.method import bind_options, method_info

StateDict = Mapping[str, Tensor]


def merge(
    base: StateDict,
    experts: Mapping[str, StateDict],
    coefficients: Sequence[float],
    *,
    method: str,
    options: Mapping[str, object] | None = None,
    drop_rate: float = 0.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Merge *experts* (name to state dict) on *base* by *method*; return a new state dict like the base's.

    Task vectors (expert minus base) are taken and merged in fp32 (fp64 for fp64 tensors) on the base's
    device, and the result has the base's types. Where *drop_rate* > 0, DARE drops that share of every task
    vector first, by masks that depend on *seed*, the expert's name and the tensor's alone. *coefficients* go
    with the experts in their order. Tensors that are not floating (counters, index buffers) are the base's,
    and the experts must have the same. Pass a tied parameter once: under two names it would be ranked twice
    and dropped in two ways.

    Works tensor by tensor; with the option trim_scope at "model" all task vectors are in memory together.

    Raises UsageError for an unknown method or option and for experts that do not fit the base, ValueError for
    coefficients that are negative or all zero and for a density or drop rate out of its range.
    """
    bound = bind_options(method, options or {})
    _check_numbers(method, coefficients, len(experts))
    for name, expert in experts.items():
        _check_fits(base, expert, name)
    combine = plugins.load("compute.merging.methods", method)
    merged = {name: _result(tensor) for name, tensor in base.items()}
    for block in _blocks(base, whole_model=bound.get("trim_scope") == "model"):
        task_vectors = _task_vectors(base, experts, block, drop_rate, seed)
        weights = torch.tensor(list(coefficients), dtype=task_vectors.dtype, device=task_vectors.device)
        _add(merged, block, combine(task_vectors, weights, **bound))
    return merged


def _result(tensor: Tensor) -> Tensor:
    """Return what the result starts from: a floating tensor is replaced later, any other is copied."""
    return tensor.detach() if tensor.is_floating_point() else tensor.detach().clone()


def _blocks(base: StateDict, *, whole_model: bool) -> list[list[str]]:
    """Return the names of the floating tensors, grouped into what is merged at once."""
    names = [name for name, tensor in base.items() if tensor.is_floating_point() and tensor.numel()]
    if whole_model:
        return [names] if names else []
    return [[name] for name in names]


def _task_vectors(
    base: StateDict, experts: Mapping[str, StateDict], block: list[str], drop_rate: float, seed: int
) -> Tensor:
    """Return the task vectors [N, n] of *experts* over the tensors of *block*, each flattened, in order."""
    sizes = [base[name].numel() for name in block]
    rows = torch.empty(len(experts), sum(sizes), dtype=_precision(base, block), device=base[block[0]].device)
    for row, (source, expert) in zip(rows, experts.items(), strict=True):
        for name, part in zip(block, row.split(sizes), strict=True):
            change = _task_vector(base[name], expert[name], rows.dtype)
            _check_finite(change, name, source)
            if drop_rate:
                change = dare({name: change}, drop_rate=drop_rate, seed=seed, source=source)[name]
            part.copy_(change.flatten())
    return rows


def _task_vector(base: Tensor, expert: Tensor, precision: torch.dtype) -> Tensor:
    """Return expert minus base in *precision*, on the base's device."""
    return expert.detach().to(base.device, precision) - base.detach().to(precision)


def _check_finite(change: Tensor, tensor: str, expert: str) -> None:
    """Raise UsageError if a task vector has numbers that a ranking would silently misplace."""
    if not change.isfinite().all():
        raise UsageError(f"tensor {tensor} of expert {expert} or of the base has infinite or missing numbers")


def _precision(base: StateDict, block: list[str]) -> torch.dtype:
    """Return fp64 if a tensor of *block* is fp64, else fp32."""
    double = any(base[name].dtype == torch.float64 for name in block)
    return torch.float64 if double else torch.float32


def _add(merged: dict[str, Tensor], block: list[str], change: Tensor) -> None:
    """Add the merged task vector *change* [n] to the tensors of *block*, keeping their types."""
    for name, part in zip(block, change.split([merged[name].numel() for name in block]), strict=True):
        tensor = merged[name]
        merged[name] = (tensor.to(change.dtype) + part.view(tensor.shape)).to(tensor.dtype)


def _check_numbers(method: str, coefficients: Sequence[float], experts: int) -> None:
    """Raise ValueError for numbers that no merge can work with."""
    least, most = method_info(method).sources
    if experts < least or (most is not None and experts > most):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{method} merges {limits} experts, not {experts}")
    if len(coefficients) != experts:
        raise ValueError(f"{experts} experts need as many coefficients, not {len(coefficients)}")
    if not all(math.isfinite(number) and number >= 0 for number in coefficients) or not any(coefficients):
        raise ValueError(f"coefficients must be finite, non-negative and not all zero: {list(coefficients)}")


def _check_fits(base: StateDict, expert: StateDict, name: str) -> None:
    """Raise UsageError unless the tensors of the expert *name* have the names and shapes of the base's."""
    if missing := sorted(base.keys() - expert.keys()):
        raise UsageError(f"expert {name} lacks tensors of the base model: {_some(missing)}")
    if extra := sorted(expert.keys() - base.keys()):
        raise UsageError(f"expert {name} has tensors that the base model lacks: {_some(extra)}")
    for tensor, expected in base.items():
        found = expert[tensor]
        if found.shape != expected.shape:
            shapes = f"{tuple(found.shape)}, in the base model {tuple(expected.shape)}"
            raise UsageError(f"tensor {tensor} of expert {name} has shape {shapes}: are both of one architecture?")
        if found.is_floating_point() != expected.is_floating_point():
            raise UsageError(f"tensor {tensor} of expert {name} is {found.dtype}, in the base {expected.dtype}")
        if not expected.is_floating_point() and not torch.equal(found.to(expected), expected):
            raise UsageError(f"tensor {tensor} of expert {name} is not floating and differs from the base model's")


def _some(names: list[str]) -> str:
    """Return the first few of *names*, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
