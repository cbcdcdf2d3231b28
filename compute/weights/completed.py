"""Weights seen through a wrapper: with tensors that the base lacks, or only some of them. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.weights.dtypes import BLOCK, from_float, stored, to_float
from compute.weights.weights import TensorInfo, Weights, by_name, check_piece, find


class Selected:
    """Some tensors of *weights*, in the order of *names*; raises UsageError for a name that it lacks."""

    def __init__(self, weights: Weights, names: Iterable[str]) -> None:
        self._weights = weights
        self._infos = {name: find(weights.tensors(), name) for name in names}

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the selected tensors."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        find(self._infos, name)
        self._weights.read(name, start, out)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor."""
        find(self._infos, name)
        return self._weights.raw(name)


class Completed:
    """Exactly the tensors *infos*: the base's own, and for those it lacks zeros, or the mean of the experts' tensors.

    A pretrained encoder has no classification head: its task vectors are then taken from zero, or from the mean. The
    mean does not depend on the experts' order. Bytes of tensors without fractions (buffers of integers) are, with
    "mean", the experts' where all agree.

    Raises UsageError where a tensor of the base or of an expert has another shape than its info says, or where an
    expert lacks a tensor that a mean is taken of.
    """

    def __init__(
        self,
        base: Weights,
        experts: Mapping[str, Weights],
        infos: Iterable[TensorInfo],
        how: Literal["zero", "mean"],
    ) -> None:
        self._base, self._experts, self._how = base, experts, how
        held = base.tensors()
        wanted = by_name(infos)
        self._infos = {name: held.get(name, info) for name, info in wanted.items()}
        self.lacking = tuple(name for name in wanted if name not in held)
        if self.lacking and how == "mean" and not experts:
            raise UsageError(f"the base lacks {self.lacking[0]}, and there are no models to take a mean of")
        for name, info in wanted.items():
            _check_shape("the base", info, self._infos[name])
        for name in self.lacking if how == "mean" else ():
            for whose, expert in experts.items():
                _check_shape(whose, wanted[name], expert.tensors().get(name))

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the tensors in the order of the infos."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        info = find(self._infos, name)
        if name in self._base.tensors():
            self._base.read(name, start, out)
            return
        check_piece(info, start, out)
        if self._how == "zero":
            out[:] = 0
            return
        for begin in range(0, len(out), BLOCK):
            piece = out[begin : begin + BLOCK]
            to_float(self._mean(name, start + begin, len(piece)), "float64", piece)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor."""
        info = find(self._infos, name)
        if name in self._base.tensors():
            return self._base.raw(name)
        if self._how == "zero":
            return np.zeros(info.nbytes, np.uint8)
        return floats_raw(self, info) if info.floating else self._agreed(name)

    def _mean(self, name: str, start: int, size: int) -> NDArray[np.float64]:
        values = np.empty((len(self._experts), size))
        for row, expert in zip(values, self._experts.values(), strict=True):
            expert.read(name, start, row)
        values.sort(axis=0)  # a sum of floats depends on the order
        with np.errstate(over="ignore", invalid="ignore"):  # of infinities
            mean: NDArray[np.float64] = values.sum(axis=0) / len(values)
        return mean

    def _agreed(self, name: str) -> NDArray[np.uint8]:
        found: Sequence[NDArray[np.uint8]] = [expert.raw(name) for expert in self._experts.values()]
        if not all(np.array_equal(found[0], other) for other in found[1:]):
            raise UsageError(f"the base lacks {name}, and the models disagree on it: integers have no mean")
        return found[0]


def floats_raw(weights: Weights, info: TensorInfo) -> NDArray[np.uint8]:
    """Compose the bytes of a tensor of fractions from what `read` gives."""
    values = np.empty(info.size, np.float64 if info.dtype == "float64" else np.float32)
    weights.read(info.name, 0, values)
    bits = np.empty(info.size, stored(info.dtype).storage)
    from_float(values, info.dtype, bits)
    return bits.view(np.uint8)


def _check_shape(whose: str, wanted: TensorInfo, found: TensorInfo | None) -> None:
    if found is None:
        raise UsageError(f"{whose} lacks the tensor {wanted.name}, of which a mean is wanted")
    if found.shape != wanted.shape:
        shapes = f"{list(found.shape)} instead of {list(wanted.shape)}"
        raise UsageError(f"{whose}: tensor {wanted.name} has the shape {shapes}: are both of one architecture?")
