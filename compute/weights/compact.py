"""A lossless compact form of fine-tuned weights: what is bit for bit the base's is not kept. Knows no files.

Fine-tuning without weight decay leaves the embedding rows of tokens that never came as they were. Of a packed model

- a tensor that is the base's is not kept,
- a tensor of which enough rows are the base's is kept as `<name>#rows` (int64, ascending) and `<name>#values` (those
  rows, in the tensor's own dtype),
- a tensor that the base has and the model lacks is kept as an empty `<name>#absent`,
- all others are kept whole under their own name.

Bits are compared, not numbers: 0.0 is not -0.0, and each NaN is itself. Every packed tensor is unpacked again and
compared before the whole one is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.weights.dtypes import stored
from compute.weights.memory import InMemory, as_torch
from compute.weights.weights import TensorInfo, Weights, by_name, check_piece, find

ROWS, VALUES, ABSENT = "#rows", "#values", "#absent"


def compact(base: Weights, expert: Weights) -> InMemory:
    """Pack *expert* against *base*; the result's `mapping` holds plain arrays (bfloat16 as its bits in uint16).

    Raises UsageError for a tensor whose name ends as the parts of a packed one do.
    """
    ours = base.tensors()
    _check_names([*ours, *expert.tensors()])
    packed: dict[str, NDArray[Any]] = {}
    dtypes: dict[str, str] = {}
    for name, info in expert.tensors().items():
        parts = _parts(_typed(base, name) if ours.get(name) == info else None, _typed(expert, name))
        for suffix, part in parts.items():
            packed[name + suffix] = part
            dtypes[name + suffix] = "int64" if suffix == ROWS else info.dtype
    for name in ours:
        if name not in expert.tensors():
            packed[name + ABSENT], dtypes[name + ABSENT] = np.empty(0, np.uint8), "uint8"
    return InMemory(packed, dtypes)


class Compact:
    """The weights that were packed: what *packed* does not hold is read from *base*.

    *packed* may lie in memory or in a file. Raises UsageError where it is damaged or does not fit the base's shapes;
    whether it is the very base that was packed against, only the caller can know.
    """

    def __init__(self, base: Weights, packed: Weights) -> None:
        self._base, self._packed = base, packed
        held = packed.tensors()
        self._rows = {name.removesuffix(ROWS): _read_rows(packed, name) for name in held if name.endswith(ROWS)}
        kept = [info for name, info in base.tensors().items() if name not in held and name + ABSENT not in held]
        whole = [info for name, info in held.items() if not name.endswith((ROWS, VALUES, ABSENT))]
        self._whole = {info.name for info in whole}
        self._infos = by_name([*kept, *whole])
        if alone := [name for name in held if name.endswith(VALUES) and name.removesuffix(VALUES) not in self._rows]:
            raise UsageError(f"{alone[0]} has no {ROWS} beside it: pack the model again")
        for name, rows in self._rows.items():
            _check_rows(name, rows, self._infos.get(name), held.get(name + VALUES))

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the unpacked tensors: first those that the base has something of."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        info = find(self._infos, name)
        if name in self._whole:
            self._packed.read(name, start, out)
            return
        self._base.read(name, start, out)
        if name in self._rows and len(out):
            check_piece(info, start, out)
            self._lay_over(name, info.columns, start, out)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor."""
        info = find(self._infos, name)
        if name in self._whole:
            return self._packed.raw(name)
        if name not in self._rows:
            return self._base.raw(name)
        bits = _typed(self._base, name).copy()
        bits[self._rows[name]] = self._packed.raw(name + VALUES).view(bits.dtype).reshape(-1, info.columns)
        return bits.reshape(-1).view(np.uint8)

    def _lay_over(self, name: str, columns: int, start: int, out: NDArray[Any]) -> None:
        """Put the changed rows over the base's entries, which *out* holds from *start* on."""
        rows, stop = self._rows[name], start + len(out)
        first, last = np.searchsorted(rows, [start // columns, -(-stop // columns)]).tolist()
        values = np.empty((last - first, columns), out.dtype)
        self._packed.read(name + VALUES, first * columns, values.reshape(-1))
        for row, changed in zip(rows[first:last].tolist(), values, strict=True):
            begin, end = max(row * columns, start), min((row + 1) * columns, stop)
            out[begin - start : end - start] = changed[begin - row * columns : end - row * columns]


def pack(base_tensors: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Pack torch tensors of a model against those of its base; the parts lie on the CPU.

    Tensors that are kept whole share the model's memory where that lies on the CPU.
    Raises UsageError for a tensor whose name ends as the parts of a packed one do.
    """
    packed = compact(InMemory(base_tensors), InMemory(tensors))
    return {name: as_torch(array, packed.tensors()[name].dtype) for name, array in packed.mapping.items()}


def unpack(base_tensors: Mapping[str, Any], packed: Mapping[str, Any]) -> dict[str, Any]:
    """Give the torch tensors back that were packed, bit for bit; none shares its memory with the base's.

    Raises UsageError where *packed* is damaged or does not fit the base's shapes.
    """
    weights = Compact(InMemory(base_tensors), InMemory(packed))
    return {name: as_torch(_typed(weights, name).copy(), info.dtype) for name, info in weights.tensors().items()}


def _parts(base: NDArray[Any] | None, own: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Choose how to keep a tensor, by what it is called beyond its name: nothing, rows and values, or whole."""
    if base is None:
        return {"": own}
    if not own.size or own.ndim != 2:
        return {} if np.array_equal(_words(base), _words(own)) else {"": own}
    rows = _changed(_words(base), _words(own))
    if not rows.size:
        return {}
    values = own[rows]
    if rows.nbytes + values.nbytes >= own.nbytes or not _restores(base, own, rows, values):
        return {"": own}
    return {ROWS: rows, VALUES: values}


def _changed(base: NDArray[Any], own: NDArray[Any]) -> NDArray[np.int64]:
    """Give the rows that differ, a few megabytes at a time."""
    step = max(1, (1 << 22) // own[0].nbytes)
    blocks = range(0, len(own), step)
    return np.concatenate(
        [start + np.flatnonzero((base[start : start + step] != own[start : start + step]).any(1)) for start in blocks]
    )


def _restores(base: NDArray[Any], own: NDArray[Any], rows: NDArray[np.int64], values: NDArray[Any]) -> bool:
    restored = base.copy()
    restored[rows] = values
    return np.array_equal(_words(restored), _words(own))


def _typed(weights: Weights, name: str) -> NDArray[Any]:
    info = weights.tensors()[name]
    return weights.raw(name).view(stored(info.dtype).storage).reshape(info.shape)


def _words(array: NDArray[Any]) -> NDArray[Any]:
    """See an array as unsigned integers of the same bits."""
    return array.view(np.dtype(f"u{array.itemsize}"))


def _read_rows(packed: Weights, name: str) -> NDArray[np.int64]:
    if packed.tensors()[name].dtype != "int64":
        raise UsageError(f"{name} holds {packed.tensors()[name].dtype} where rows are counted: pack the model again")
    rows: NDArray[np.int64] = packed.raw(name).view(np.int64)
    return rows


def _check_rows(name: str, rows: NDArray[np.int64], info: TensorInfo | None, values: TensorInfo | None) -> None:
    if info is None or len(info.shape) != 2:
        raise UsageError(f"the base has no matrix {name}, of which packed weights hold some rows: is it another base?")
    if values is None or values.dtype != info.dtype or values.shape != (len(rows), info.columns):
        raise UsageError(f"{name}{VALUES} does not fit its rows, or the base's {info.dtype} {list(info.shape)}")
    if rows.size and (rows[0] < 0 or rows[-1] >= info.shape[0] or (np.diff(rows) <= 0).any()):
        raise UsageError(
            f"{name}{ROWS} is damaged: expected ascending rows below {info.shape[0]}; pack the model again"
        )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name.endswith((ROWS, VALUES, ABSENT)):
            raise UsageError(f"tensor {name!r} cannot be packed: packed parts are called so; rename it")
