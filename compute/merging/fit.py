"""Checks that experts fit their base before anything is merged. Knows names, shapes and types, no method."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compute.errors import UsageError
from compute.weights.weights import TensorInfo, Weights


def check_fits(base: Weights | None, experts: Mapping[str, Weights]) -> list[TensorInfo]:
    """Return the tensors of the result: those of the *base*, or of the first expert without one.

    Raises UsageError unless all *experts* have tensors of the same names and shapes, and equal ones where they
    are not floating: those cannot be merged.
    """
    if not experts:
        raise UsageError("nothing to merge: name at least one expert")
    whose, reference = ("the base model", base) if base is not None else next(iter(experts.items()))
    infos = reference.tensors()
    for name, expert in experts.items():
        _check_names(infos, expert.tensors(), name, whose)
        for info in infos.values():
            _check_tensor(info, expert.tensors()[info.name], name, whose)
            if not info.floating and not np.array_equal(reference.raw(info.name), expert.raw(info.name)):
                raise UsageError(f"tensor {info.name} of expert {name} is not floating and differs from {whose}'s")
    return list(infos.values())


def _check_names(infos: Mapping[str, TensorInfo], found: Mapping[str, TensorInfo], name: str, whose: str) -> None:
    if missing := sorted(infos.keys() - found.keys()):
        raise UsageError(f"expert {name} lacks tensors of {whose}: {_some(missing)}")
    if extra := sorted(found.keys() - infos.keys()):
        raise UsageError(f"expert {name} has tensors that {whose} lacks: {_some(extra)}")


def _check_tensor(expected: TensorInfo, found: TensorInfo, name: str, whose: str) -> None:
    if found.shape != expected.shape:
        shapes = f"{found.shape}, in {whose} {expected.shape}"
        raise UsageError(f"tensor {expected.name} of expert {name} has shape {shapes}: are both of one architecture?")
    if found.floating != expected.floating:
        raise UsageError(f"tensor {expected.name} of expert {name} is {found.dtype}, in {whose} {expected.dtype}")


def _some(names: list[str]) -> str:
    """Return the first few of *names*, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
