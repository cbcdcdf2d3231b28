"""Compiled steps of merging for numpy arrays [N, m] of float32 or float64. Knows numbers, not methods or models.

Each gives the same bits as the plain steps of `compute.merging.steps` and on every machine: sums are made row by
row, nothing is reordered or contracted. Rows must be contiguous; the distance between them is free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64, the same for all the arguments of a call
_Function = TypeVar("_Function", bound=Callable[..., Any])

BY_WEIGHT, BY_COUNT, BY_NOTHING = 0, 1, 2  # what disjoint sums are divided by

_TILE = 2048  # entries worked on at a time: what is computed from them stays in the first-level cache


def compiled(function: _Function) -> _Function:
    """Return *function* compiled at its first call by numba, without the interpreter's lock, and kept on disk."""
    try:
        return cast(_Function, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # neither beside the module nor in the user's cache may files be written
        return cast(_Function, njit(nogil=True, error_model="numpy")(function))


def disjoint(rows: Floats, coefficients: Floats, sign: Floats, mode: int, out: Floats) -> None:
    """Write to *out* [m] the sum over the *rows* [N, m] that have the *sign* [m] of coefficient [N] times row.

    *mode* says what it is divided by: BY_WEIGHT, the sum of the coefficients of the rows that took part, BY_COUNT,
    their number, or BY_NOTHING. Where none has the sign, or the sign is 0, the result is 0. Step 3 of TIES,
    https://arxiv.org/abs/2306.01708; PEFT divides by the count, AdaMerging not at all.
    """
    _disjoint(*_flat(rows), coefficients, sign, mode, out)


def ties(
    rows: Floats,
    thresholds: Floats,
    election: Floats | None,
    coefficients: Floats,
    tie_sign: float,
    mode: int,
    scale: float,
    out: Floats,
) -> None:
    """Write to *out* [m] *scale* times the TIES merge of *rows* [N, m], which stay as they are.

    Entries below the *thresholds* [N] count as 0; elected is the sign of the sum with the weights *election* [N]
    (None: 1), *tie_sign* where that is 0; merged is as by `disjoint` with *coefficients* [N] and *mode*, in one run.
    """
    dtype = rows.dtype.type
    weights = _or_ones(election, rows)
    _ties(*_flat(rows), thresholds, weights, coefficients, dtype(tie_sign), mode, dtype(scale), out)


def majority(rows: Floats, thresholds: Floats, election: Floats | None) -> int:
    """Return how many more columns of trimmed *rows* [N, m] have a positive sum than a negative one.

    Summed over all the chunks of a model, its sign is the one that the authors of TIES elect where a sum is 0:
    `ties` takes it as the sign of ties. *thresholds* and *election* are those of `ties`.
    """
    return int(_majority(*_flat(rows), thresholds, _or_ones(election, rows)))


def _flat(rows: Floats) -> tuple[Floats, int, int, int]:
    """Return *rows* [N, m] as one run of memory, the distance from one row to the next, N and m.

    The compiler makes vector instructions only of what its type says is contiguous.
    """
    count, columns = rows.shape
    if rows.flags.c_contiguous:
        return rows.reshape(-1), columns, count, columns
    distance, rest = divmod(rows.strides[0], rows.itemsize)
    if rest or distance < columns or rows.strides[1] != rows.itemsize:
        raise ValueError(f"rows of contiguous entries are expected, not strides of {rows.strides} bytes")
    run = as_strided(rows, ((count - 1) * distance + columns,), (rows.itemsize,))
    return run, distance, count, columns


def _or_ones(weights: Floats | None, rows: Floats) -> Floats:
    return np.ones(len(rows), rows.dtype) if weights is None else weights


@compiled
def _add_trimmed(row: Floats, threshold: Any, weight: Any, zero: Any, total: Floats) -> None:
    for i in range(total.size):
        value = row[i]
        total[i] += weight * (zero if abs(value) < threshold else value)


@compiled
def _sign(values: Floats, tie: Any) -> None:
    """Replace each value by its sign, and 0 by *tie*."""
    one = values.dtype.type(1)
    zero = values.dtype.type(0)
    for i in range(values.size):
        value = values[i]
        values[i] = one if value > zero else (-one if value < zero else tie)


@compiled
def _add_agreeing(
    row: Floats, threshold: Any, coefficient: Any, share: Any, sign: Floats, total: Floats, weight: Floats
) -> None:
    """Add where a trimmed row has the sign, *coefficient* times the row to *total*, and *share* to *weight*."""
    zero = total.dtype.type(0)
    for i in range(total.size):
        value = row[i]
        agrees = (value * sign[i] > zero) & (abs(value) >= threshold)
        total[i] += coefficient * value if agrees else zero
        weight[i] += share if agrees else zero


@compiled
def _divide(total: Floats, weight: Floats) -> None:
    one = total.dtype.type(1)
    zero = total.dtype.type(0)
    for i in range(total.size):
        by = weight[i]
        total[i] /= one if by == zero else by


@compiled
def _agreeing(
    flat: Floats,
    distance: int,
    count: int,
    start: int,
    thresholds: Floats,
    coefficients: Floats,
    sign: Floats,
    mode: int,
    weight: Floats,
    total: Floats,
) -> None:
    """Write to *total* [n] what `disjoint` says of the trimmed entries from *start* on; *weight* [n] is scratch."""
    total[:] = 0
    weight[:] = 0
    for n in range(count):
        row = flat[n * distance + start : n * distance + start + total.size]
        share = coefficients[n] if mode == BY_WEIGHT else total.dtype.type(1)
        _add_agreeing(row, thresholds[n], coefficients[n], share, sign, total, weight)
    if mode != BY_NOTHING:
        _divide(total, weight)


@compiled
def _disjoint(
    flat: Floats,
    distance: int,
    count: int,
    columns: int,
    coefficients: Floats,
    sign: Floats,
    mode: int,
    out: Floats,
) -> None:
    thresholds = np.zeros(count, flat.dtype)
    weight = np.empty(min(_TILE, columns), flat.dtype)
    for start in range(0, columns, _TILE):
        stop = min(start + _TILE, columns)
        scratch = weight[: stop - start]
        tile = out[start:stop]
        _agreeing(flat, distance, count, start, thresholds, coefficients, sign[start:stop], mode, scratch, tile)


@compiled
def _elect(
    flat: Floats, distance: int, count: int, start: int, thresholds: Floats, election: Floats, sign: Floats
) -> None:
    """Write to *sign* [n] the weighted sums of the trimmed entries from *start* on."""
    zero = flat.dtype.type(0)
    sign[:] = 0
    for n in range(count):
        row = flat[n * distance + start : n * distance + start + sign.size]
        _add_trimmed(row, thresholds[n], election[n], zero, sign)


@compiled
def _ties(
    flat: Floats,
    distance: int,
    count: int,
    columns: int,
    thresholds: Floats,
    election: Floats,
    coefficients: Floats,
    tie_sign: Any,
    mode: int,
    scale: Any,
    out: Floats,
) -> None:
    signs = np.empty(min(_TILE, columns), flat.dtype)
    weights = np.empty(min(_TILE, columns), flat.dtype)
    for start in range(0, columns, _TILE):
        stop = min(start + _TILE, columns)
        sign = signs[: stop - start]
        tile = out[start:stop]
        _elect(flat, distance, count, start, thresholds, election, sign)
        _sign(sign, tie_sign)
        _agreeing(flat, distance, count, start, thresholds, coefficients, sign, mode, weights[: stop - start], tile)
        for i in range(tile.size):
            tile[i] *= scale


@compiled
def _majority(flat: Floats, distance: int, count: int, columns: int, thresholds: Floats, election: Floats) -> int:
    sums = np.empty(min(_TILE, columns), flat.dtype)
    zero = flat.dtype.type(0)
    difference = 0
    for start in range(0, columns, _TILE):
        tile = sums[: min(_TILE, columns - start)]
        _elect(flat, distance, count, start, thresholds, election, tile)
        for i in range(tile.size):
            difference += int(tile[i] > zero) - int(tile[i] < zero)
    return difference
