"""Random numbers that depend on nothing but a key and an index, so on no chunk, thread, order or device.

Knows the DARE step that is drawn with them, and no merge method.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.merging.arrays import namespace
from compute.merging.kernels import compiled

# SplitMix64: the counter's step and the multipliers of its finaliser.
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_U64 = np.uint64
_STEP_U, _FIRST_U, _SECOND_U = _U64(_STEP), _U64(_FIRST), _U64(_SECOND)
_S30, _S27, _S40 = _U64(30), _U64(27), _U64(40)
_UNIT = np.float32(2.0**-24)
_ZERO = np.float32(0)
_LANES = 16  # sums side by side: one alone would wait for each addition before the next


def stream(seed: int, source: str, tensor: str) -> int:
    """Return the key, 64 bits, of the numbers that *source* draws for *tensor* under *seed*."""
    return int.from_bytes(hashlib.sha256(repr((seed, source, tensor)).encode()).digest()[:8], "big")


def lots(key: int, start: int, out: NDArray[np.float32]) -> None:
    """Fill *out* [m], contiguous, with the numbers, uniform in [0, 1), at *start*, *start* + 1, … of the stream *key*.

    The number at an index is the upper 24 bits of SplitMix64 (Steele, Lea, Flood 2014,
    https://doi.org/10.1145/2714064.2660195), seeded with *key*, at that place of its sequence, times 2**-24.
    """
    _fill(_first_state(key, start), out)


def lots_like(key: int, start: int, like: Any) -> Any:
    """Return the numbers of `lots` as a float32 array of the shape, the library and the device of *like*."""
    xp = namespace(like)
    index = xp.arange(like.size if isinstance(like, np.ndarray) else like.numel(), dtype=xp.int64, device=like.device)
    z = index * _signed(_STEP) + _signed(int(_first_state(key, start)))
    z = _shifted_xor(z, 30) * _signed(_FIRST)
    z = _shifted_xor(z, 27) * _signed(_SECOND)
    top = (z >> 40) & 0xFFFFFF
    return xp.reshape(xp.astype(top, xp.float32) * 2.0**-24, like.shape)


def drop(values: NDArray[Any], key: int, start: int, rate: float, divisor: float | None = None) -> None:
    """Zero, in place, the entries of *values* [m], contiguous, whose lot is below *rate*; divide the others.

    *divisor* is 1 - *rate* if not given: then the mean over keys is the values, the step of DARE
    (https://arxiv.org/abs/2311.03099). The entries are those at *start*, *start* + 1, … of *key*. Raises ValueError
    unless 0 <= rate < 1.
    """
    by = _divisor(rate, divisor)
    _drop(_first_state(key, start), np.float32(rate), values.dtype.type(by), values.dtype.type(0), values)


def dropped(values: Any, key: int, start: int, rate: float, divisor: float | None = None) -> Any:
    """Return, for an array of any library, what `drop` makes of *values*, of any shape: the same bits."""
    xp = namespace(values)
    # An array as divisor: by a plain number, a GPU multiplies with the reciprocal.
    by = xp.asarray(_divisor(rate, divisor), dtype=values.dtype, device=values.device)
    drawn = lots_like(key, start, values)
    limit = xp.asarray(rate, dtype=xp.float32, device=values.device)
    return xp.where(drawn < limit, xp.zeros_like(values), values / by)


def magnitudes(values: NDArray[Any], key: int, start: int, rate: float) -> tuple[float, float]:
    """Return the sums of the magnitudes of *values* [m], contiguous, before and after `drop`, in float64."""
    sums = np.zeros((2, _LANES))
    _magnitudes(_first_state(key, start), np.float32(rate), values, sums)
    before, after = sums.sum(axis=1)
    return float(before), float(after)


def _divisor(rate: float, divisor: float | None) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"drop rate is the share of entries dropped, in [0, 1), not {rate}")
    return 1 - rate if divisor is None else divisor


def _first_state(key: int, start: int) -> np.uint64:
    return np.uint64((key + (start + 1) * _STEP) % 2**64)


def _signed(bits: int) -> int:
    """Return the 64 *bits* as the signed number of two's complement: products and sums wrap alike."""
    return bits - 2**64 if bits >= 2**63 else bits


def _shifted_xor(z: Any, by: int) -> Any:
    """Return z ^ (z >> by), with a shift that brings in zeros."""
    return z ^ ((z >> by) & (2 ** (64 - by) - 1))


@compiled
def _lot(z: np.uint64) -> np.float32:
    """Return the number of the state *z*. The finaliser's last step leaves the upper bits alone: it is not made."""
    z = (z ^ (z >> _S30)) * _FIRST_U
    z = (z ^ (z >> _S27)) * _SECOND_U
    return np.float32(np.int32(z >> _S40)) * _UNIT


@compiled
def _fill(state: np.uint64, out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        out[i] = _lot(state + np.uint64(i) * _STEP_U)


@compiled
def _drop(state: np.uint64, rate: np.float32, divisor: Any, zero: Any, values: NDArray[Any]) -> None:
    for i in range(values.size):
        value = values[i] / divisor
        values[i] = zero if _lot(state + np.uint64(i) * _STEP_U) < rate else value


@compiled
def _magnitudes(state: np.uint64, rate: np.float32, values: NDArray[Any], sums: NDArray[np.float64]) -> None:
    whole = values.size - values.size % _LANES
    for first in range(0, whole, _LANES):
        for lane in range(_LANES):
            i = first + lane
            magnitude = np.float64(abs(values[i]))
            sums[0, lane] += magnitude
            sums[1, lane] += 0.0 if _lot(state + np.uint64(i) * _STEP_U) < rate else magnitude
    for i in range(whole, values.size):
        magnitude = np.float64(abs(values[i]))
        sums[0, i - whole] += magnitude
        sums[1, i - whole] += 0.0 if _lot(state + np.uint64(i) * _STEP_U) < rate else magnitude
