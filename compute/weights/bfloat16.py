"""Compiled steps between bfloat16, which numpy lacks, and float32, both as their bits. Knows nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., None])


def _compiled(of: Any, to: Any) -> Callable[[_Function], _Function]:
    """Compile for contiguous arrays, of which the first may be read-only; kept beside this file where it can be."""
    signature = types.void(types.Array(of, 1, "C", readonly=True), to[::1])

    def compile_it(function: _Function) -> _Function:
        try:
            return cast(_Function, njit(signature, cache=True, nogil=True)(function))
        except RuntimeError:  # neither this package's folder nor the user's can be written
            return cast(_Function, njit(signature, nogil=True)(function))

    return compile_it


@_compiled(types.uint16, types.uint32)
def widen(halves: NDArray[np.uint16], words: NDArray[np.uint32]) -> None:
    """Write the float32 bits of bfloat16 bits [n]: exact, NaN payloads included."""
    for i in range(halves.size):
        words[i] = np.uint32(halves[i]) << np.uint32(16)


@_compiled(types.uint32, types.uint16)
def narrow(words: NDArray[np.uint32], halves: NDArray[np.uint16]) -> None:
    """Write the bfloat16 bits of float32 bits [n]: to the nearest, ties to even.

    A NaN keeps its sign and the payload that fits; it is made quiet only where it would become an infinity.
    """
    for i in range(words.size):
        word = words[i]
        upper = np.uint32(word >> np.uint32(16))
        odd = np.uint32(upper & np.uint32(1))
        rounded = np.uint32(np.uint32(word + np.uint32(0x7FFF)) + odd) >> np.uint32(16)  # 32 bits: numba widens sums
        quiet = np.uint32(0x40) if upper & np.uint32(0x7F) == 0 else np.uint32(0)
        nan = np.uint32(word & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
        halves[i] = np.uint16(upper | quiet) if nan else np.uint16(rounded)
