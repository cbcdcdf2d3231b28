"""Weights that lie in memory: arrays of numpy, or tensors of torch on any device. Loads no torch by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.weights.dtypes import from_float, stored, to_float
from compute.weights.progress import Progress
from compute.weights.weights import TensorInfo, by_name, check_piece, check_raw, find


class InMemory:
    """Weights over a mapping of name to torch tensor or numpy array; nothing is copied beyond the piece asked for.

    *dtypes* names the dtype of arrays whose own says less: "bfloat16" for its bits in a uint16 array.
    """

    def __init__(self, mapping: Mapping[str, Any], dtypes: Mapping[str, str] | None = None) -> None:
        self.mapping = mapping
        named = dtypes or {}
        self._infos = {name: _info(name, array, named.get(name)) for name, array in mapping.items()}

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the tensors in the mapping's order."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        info = find(self._infos, name)
        check_piece(info, start, out)
        to_float(_bits(_entries(self.mapping[name], start, start + len(out)), info), info.dtype, out)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor; they may be the tensor's own memory."""
        info = find(self._infos, name)
        return np.ascontiguousarray(_bits(_entries(self.mapping[name], 0, info.size), info)).view(np.uint8)


class MemorySink:
    """A sink that collects arrays of numpy, to be had once it is closed."""

    def __init__(self, infos: Iterable[TensorInfo]) -> None:
        self._infos = by_name(infos)
        self._progress = Progress(self._infos)
        self._bits = {info.name: np.empty(info.size, stored(info.dtype).storage) for info in self._infos.values()}

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write flattened float32 or float64 entries from *start* on, rounded to the nearest of the tensor's dtype."""
        info = find(self._infos, name)
        check_piece(info, start, values)
        from_float(values, info.dtype, self._bits[name][start : start + len(values)])
        self._progress.add(name, len(values))

    def put(self, name: str, raw: NDArray[np.uint8]) -> None:
        """Write the bytes of a whole tensor."""
        info = find(self._infos, name)
        check_raw(info, raw)
        self._bits[name].view(np.uint8)[:] = raw
        self._progress.add(name, info.size)

    def close(self) -> None:
        """Finish; raises ValueError where entries are missing."""
        self._progress.finish()

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Give the arrays by name, bfloat16 as its bits in uint16; raises ValueError before `close`."""
        self._progress.check_finished()
        return {name: bits.reshape(self._infos[name].shape) for name, bits in self._bits.items()}

    def weights(self) -> InMemory:
        """Give the result as weights that share its memory."""
        return InMemory(self.tensors(), {name: info.dtype for name, info in self._infos.items()})

    def torch(self) -> dict[str, Any]:
        """Give the result as torch tensors that share its memory."""
        return {name: as_torch(array, self._infos[name].dtype) for name, array in self.tensors().items()}


def as_torch(array: NDArray[Any], dtype: str) -> Any:
    """See an array of the storage type of *dtype* (bfloat16: uint16) as a torch tensor that shares its memory."""
    import torch

    return torch.from_numpy(array).view(getattr(torch, dtype))


def is_torch(array: Any) -> bool:
    """Whether *array* is a torch tensor (or a subclass such as Parameter), without importing torch."""
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(array).__mro__)


def _info(name: str, array: Any, dtype: str | None) -> TensorInfo:
    info = TensorInfo(name, tuple(array.shape), dtype or str(array.dtype).removeprefix("torch."))
    stored(info.dtype)
    return info


def _entries(array: Any, start: int, stop: int) -> Any:
    """Give the flattened entries [start, stop), copying no row beyond where *array* is not contiguous."""
    if not array.shape or start == stop:
        return array.reshape(-1)[start:stop]
    inner = prod(array.shape[1:])
    first, last = start // inner, -(-stop // inner)
    return array[first:last].reshape(-1)[start - first * inner : stop - first * inner]


def _bits(entries: Any, info: TensorInfo) -> NDArray[Any]:
    """Give flat entries as an array of the storage type, on this side of the device."""
    if not is_torch(entries):
        return np.asarray(entries).view(stored(info.dtype).storage)
    entries = entries.detach().cpu()
    if info.dtype == "bfloat16":
        import torch  # it made these entries: it is loaded

        entries = entries.view(torch.int16)
    bits: NDArray[Any] = entries.numpy()
    return bits.view(stored(info.dtype).storage)
