"""What a tensor is called and looks like, and what everything that reads or writes weights can do. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compute.errors import unknown
from compute.weights.dtypes import stored


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's name, shape and dtype; the dtype as torch names it ("float32", "bfloat16", "int64", …)."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def floating(self) -> bool:
        """Whether it holds fractions, i.e. can be merged."""
        return stored(self.dtype).floating

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def columns(self) -> int:
        """Length of the last dimension; 1 for a scalar."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Number of rows of *columns* entries; 1 for a scalar or a vector."""
        return prod(self.shape[:-1])

    @property
    def nbytes(self) -> int:
        """Bytes that it takes where it is stored."""
        return self.size * stored(self.dtype).storage.itemsize


class Weights(Protocol):
    """Named tensors that are read piece by piece, by several threads at once."""

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List all tensors, in the order in which they are read fastest."""
        ...

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64 and contiguous, with the flattened entries from *start* on."""
        ...

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Give the bytes of a whole tensor, as stored."""
        ...


class Sink(Protocol):
    """Named tensors that are written piece by piece, by several threads at once."""

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write flattened float32 or float64 entries from *start* on, rounded to the nearest of the tensor's dtype."""
        ...

    def put(self, name: str, raw: NDArray[np.uint8]) -> None:
        """Write the bytes of a whole tensor."""
        ...

    def close(self) -> None:
        """Finish: only from now on the result exists."""
        ...


def by_name(infos: Iterable[TensorInfo]) -> dict[str, TensorInfo]:
    """Index *infos* by name, in order; raises ValueError for a name that comes twice."""
    found: dict[str, TensorInfo] = {}
    for info in infos:
        if info.name in found:
            raise ValueError(f"tensor {info.name!r} is there twice")
        found[info.name] = info
    return found


def find(infos: Mapping[str, TensorInfo], name: str) -> TensorInfo:
    """Look a tensor up; raises UsageError, with the nearest names, where there is none of that *name*."""
    if (info := infos.get(name)) is None:
        raise unknown("tensor", name, infos)
    return info


def layout(infos: Iterable[TensorInfo]) -> dict[str, tuple[int, int]]:
    """Give the bytes [begin, end) of each tensor where all lie one after the other, wider dtypes first.

    So each tensor begins at a multiple of its item size; among dtypes of the same width the given order is kept.
    """
    ordered = sorted(by_name(infos).values(), key=lambda info: -stored(info.dtype).storage.itemsize)
    spans: dict[str, tuple[int, int]] = {}
    end = 0
    for info in ordered:
        spans[info.name] = (end, end + info.nbytes)
        end += info.nbytes
    return spans


def check_piece(info: TensorInfo, start: int, piece: NDArray[Any]) -> None:
    """Refuse, by ValueError, a *piece* that is not flat, contiguous float32 or float64, or lies beyond the tensor."""
    if piece.ndim != 1 or piece.dtype not in (np.float32, np.float64) or not piece.flags.c_contiguous:
        raise ValueError(
            f"{info.name}: a flat, contiguous piece of float32 or float64 is needed, not {piece.dtype} {piece.shape}"
        )
    if start < 0 or start + len(piece) > info.size:
        raise ValueError(f"{info.name}: entries {start} to {start + len(piece)} of {info.size}")


def check_raw(info: TensorInfo, raw: NDArray[np.uint8]) -> None:
    """Refuse, by ValueError, bytes that are not those of a whole tensor."""
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size != info.nbytes:
        raise ValueError(f"{info.name}: {info.nbytes} bytes are needed, not {raw.dtype} {raw.shape}")
