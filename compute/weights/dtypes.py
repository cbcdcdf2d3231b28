"""The number formats that weights are stored in, and the way from and to float32 and float64. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError

BLOCK = 1 << 16
"""Entries that are converted at a time: small enough for the processor's second-level cache."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored number format: its name in torch and in safetensors, and numpy's type of the same bits."""

    name: str
    safetensors: str
    storage: np.dtype[Any]
    floating: bool


def _stored(name: str, safetensors: str, storage: str, *, floating: bool = False) -> Stored:
    return Stored(name, safetensors, np.dtype(storage), floating)


_ALL = (
    _stored("float64", "F64", "float64", floating=True),
    _stored("float32", "F32", "float32", floating=True),
    _stored("float16", "F16", "float16", floating=True),
    _stored("bfloat16", "BF16", "uint16", floating=True),
    _stored("int64", "I64", "int64"),
    _stored("int32", "I32", "int32"),
    _stored("int16", "I16", "int16"),
    _stored("int8", "I8", "int8"),
    _stored("uint64", "U64", "uint64"),
    _stored("uint32", "U32", "uint32"),
    _stored("uint16", "U16", "uint16"),
    _stored("uint8", "U8", "uint8"),
    _stored("bool", "BOOL", "bool"),
)

BY_NAME: Mapping[str, Stored] = {each.name: each for each in _ALL}
"""The formats by torch's name."""

BY_SAFETENSORS: Mapping[str, Stored] = {each.safetensors: each for each in _ALL}
"""The formats by safetensors' name (https://github.com/huggingface/safetensors#format)."""


def stored(name: str) -> Stored:
    """Find the format that torch calls *name*; raises UsageError for one that is not supported, such as float8."""
    if (found := BY_NAME.get(name)) is None:
        raise UsageError(f"dtype {name!r} is not supported: convert to one of {', '.join(BY_NAME)}")
    return found


def rounds_to_infinity(dtype: str) -> float:
    """Return the least magnitude that becomes infinite as a *dtype* of fractions: half a step above its largest."""
    bits, exponent = {"float16": (11, 16), "bfloat16": (8, 128), "float32": (24, 128)}.get(dtype, (0, 0))
    return float("inf") if not bits else 2.0**exponent - 2.0 ** (exponent - bits - 1)


def to_float(bits: NDArray[Any], dtype: str, out: NDArray[Any]) -> None:
    """Convert stored numbers to float32 or float64.

    *bits* [n] has the storage type of *dtype* (bfloat16: uint16), *out* [n] is contiguous. Exact, except that a
    float64 is rounded to a float32 *out*, and that a signalling NaN may become a quiet one.
    """
    if dtype == "bfloat16":
        _widen(bits, out)
        return
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        np.copyto(out, bits, casting="unsafe")


def from_float(values: NDArray[Any], dtype: str, out: NDArray[Any]) -> None:
    """Convert float32 or float64 *values* [n] to stored numbers: to the nearest, ties to even, once.

    *out* [n] has the storage type of *dtype*. What is too large becomes infinite, a NaN stays a NaN.
    Raises ValueError for a *dtype* that holds no fractions.
    """
    if not stored(dtype).floating:
        raise ValueError(f"{dtype} holds no fractions: put its bytes instead")
    if dtype == "bfloat16":
        _narrow(values, out)
        return
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        np.copyto(out, values, casting="same_kind")


def _widen(bits: NDArray[Any], out: NDArray[Any]) -> None:
    from compute.weights import bfloat16  # numba, which only bfloat16 needs

    bits = np.require(bits, np.uint16, ["A", "C"])
    if out.dtype == np.float32 and out.flags.aligned:
        bfloat16.widen(bits, out.view(np.uint32))
        return
    for start in range(0, len(bits), BLOCK):
        wide = np.empty(min(BLOCK, len(bits) - start), np.float32)
        bfloat16.widen(bits[start : start + BLOCK], wide.view(np.uint32))
        with np.errstate(invalid="ignore"):  # a signalling NaN
            out[start : start + BLOCK] = wide


def _narrow(values: NDArray[Any], out: NDArray[Any]) -> None:
    from compute.weights import bfloat16  # numba, which only bfloat16 needs

    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        single = _to_odd(block) if block.dtype == np.float64 else np.require(block, np.float32, ["A", "C"])
        bfloat16.narrow(single.view(np.uint32), out[start : start + BLOCK])


def _to_odd(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round float64 to float32 such that rounding once more to bfloat16 is as good as rounding once.

    What does not fit exactly gets an odd last bit, toward zero (Boldo and Melquiond, Emulation of FMA and correctly
    rounded sums: proved algorithms using rounding to odd, https://hal.science/inria-00080427).
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = values.astype(np.float32)
        bits = single.view(np.uint32)
        inexact = (single != values) & ~np.isnan(values)
        bits -= inexact & (np.abs(single) > np.abs(values))
        bits |= inexact
    return single
