"""The k-th largest of numbers that come in chunks, exactly, without sorting or keeping them: radix selection.

Knows scores, not models: the caller runs over the chunks, in any order and on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compute.merging.arrays import is_numpy
from compute.merging.kernels import compiled

Counts = NDArray[np.int64]
Count = Callable[[Any, Counts], None]
Rank = Callable[[int, Counts], Counts]

_DIGIT = 16  # bits looked at in a pass
_BINS = 1 << _DIGIT
_LANES = 4  # counters for each bin, taken in turn: an increment would wait for the last one of the same counter
_FEW = 1 << 15  # entries of a row that are rather kept and partitioned
_BLOCK = 64  # entries that are passed over at once if all are zero, or none is looked for


class Accumulate(Protocol):
    """What the caller of `kth_largest` provides: a run over all the chunks."""

    def __call__(self, function: Count, shape: tuple[int, ...], /) -> Counts:
        """Call function(scores [rows, m], counts [*shape]) for each chunk, from zero counts; return their sum.

        The function adds to the counts in place; each thread has counts of its own.
        """


@dataclass(frozen=True, slots=True)
class _Order:
    """How the bits of a float are read as an unsigned number, its key, that has the same order."""

    bits: type[np.unsignedinteger[Any]]
    width: int
    of_magnitudes: bool

    @property
    def sign(self) -> int:
        return 1 << (self.width - 1)

    @property
    def mask(self) -> int:
        """The bits that count: for magnitudes all but the sign."""
        return self.sign - 1 if self.of_magnitudes else 2 * self.sign - 1

    @property
    def zero(self) -> int:
        """The key of 0, and of -0."""
        return 0 if self.of_magnitudes else self.sign

    @property
    def first_shift(self) -> int:
        return self.width - _DIGIT

    @property
    def first_bins(self) -> int:
        return (self.mask >> self.first_shift) + 1

    def keys(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return unsigned numbers that are the keys of *row* [m] once masked."""
        if row.itemsize * 8 != self.width:
            raise TypeError(f"scores of {self.width} bits are expected, not of {row.dtype}")
        bits = row.view(self.bits)
        if self.of_magnitudes:
            return bits
        keys = np.empty_like(bits)
        _to_ordered(bits, self.bits(self.sign), keys)
        return keys

    def keys_under(self, prefix: int, shift: int) -> tuple[np.unsignedinteger[Any], np.unsignedinteger[Any]]:
        """Return the lowest key that begins with *prefix*, without that of zero, and how far the highest is above."""
        lowest = prefix << shift
        holds_zero = int(lowest == self.zero)
        return self.bits(lowest + holds_zero), self.bits((1 << shift) - 1 - holds_zero)

    def floats(self, keys: NDArray[np.uint64]) -> NDArray[Any]:
        """Return the numbers whose keys are *keys*."""
        if not self.of_magnitudes:
            sign = np.uint64(self.sign)
            keys = np.where(keys < sign, (sign - keys) | sign, keys ^ sign)
        return keys.astype(self.bits).view(f"f{self.width // 8}")


def kth_largest(
    accumulate: Accumulate,
    rows: int,
    dtype: DTypeLike,
    rank: Rank,
    *,
    of_magnitudes: bool = False,
    size: int | None = None,
) -> NDArray[Any]:
    """Return, for each of *rows* rows of scores, the one that is at *rank* from the largest, ties counted.

    *accumulate* runs over the scores, numpy or torch arrays [rows, m] of *dtype*, float32 or float64, once for each
    16 bits of them. rank(total, nonzero [rows]) gets the number of entries of a row and of those that are not 0, and
    returns the places [rows], 1 for the largest. With *of_magnitudes*, the scores are the absolute values of what
    comes. *size* is the number of entries of a row, if known: few are kept, and one run is enough. -0 counts as 0;
    what is not a number has no place in an order, and must not come. Raises ValueError for a rank below 1 or above
    the total.
    """
    if size is not None and size <= _FEW:
        return _kth_of_few(accumulate, rows, np.dtype(dtype), rank, of_magnitudes)
    bits = np.uint32 if np.dtype(dtype).itemsize == 4 else np.uint64
    order = _Order(bits, 8 * np.dtype(dtype).itemsize, of_magnitudes)
    shift = order.first_shift
    counts = accumulate(_first_count(order), (rows, _LANES, order.first_bins + 1))
    histogram, tiny = counts[:, :, :-1], counts[:, :, -1].sum(axis=1)
    totals = histogram.sum(axis=(1, 2))
    zeros = histogram[:, :, order.zero >> shift].sum(axis=1) - tiny
    prefix, places = _descend(np.zeros(rows, np.uint64), histogram, _places(rank, totals, totals - zeros))
    while shift:
        shift -= _DIGIT
        counts = accumulate(_next_count(order, shift, prefix), (rows, _BINS))
        # Zeros are not looked for again: their number is known.
        holds_zero = prefix == order.zero >> (shift + _DIGIT)
        counts[:, 0] += np.where(holds_zero, zeros, 0)
        prefix, places = _descend(prefix, counts[:, None], places)
    return order.floats(prefix)


def _kth_of_few(
    accumulate: Accumulate, rows: int, dtype: np.dtype[Any], rank: Rank, of_magnitudes: bool
) -> NDArray[Any]:
    """Do what `kth_largest` does by keeping all the scores, in whichever order they come."""
    kept: list[NDArray[Any]] = []

    def keep(scores: Any, counts: Counts) -> None:
        values = scores.cpu().numpy() if not is_numpy(scores) else scores
        kept.append(np.abs(values) if of_magnitudes else values + dtype.type(0))

    accumulate(keep, (rows,))
    scores = np.concatenate([np.empty((rows, 0), dtype), *kept], axis=1)
    total = scores.shape[1]
    places = total - _places(rank, np.full(rows, total), np.count_nonzero(scores, axis=1).astype(np.int64))
    ordered = [np.partition(row, place)[place] for row, place in zip(scores, places, strict=True)]
    return np.array(ordered, dtype)


def _places(rank: Rank, totals: Counts, nonzero: Counts) -> Counts:
    """Return what *rank* says, refused where there is no such place."""
    places = np.asarray(rank(int(totals.max(initial=0)), nonzero), np.int64)
    if (wrong := (places < 1) | (places > totals)).any():
        row = int(wrong.argmax())
        raise ValueError(f"a rank from 1 to {totals[row]}, the number of entries, is expected, not {places[row]}")
    return places


def _descend(prefix: NDArray[np.uint64], counts: Counts, places: Counts) -> tuple[NDArray[np.uint64], Counts]:
    """Return the prefixes with the digit that the entry at its place has, and its place among those that share it.

    *counts* are [rows, lanes, bins].
    """
    top = counts.shape[2] - 1
    found = [_find(row[:, ::-1], place) for row, place in zip(counts, places, strict=True)]
    digits = np.array([top - above for above, _ in found], np.uint64)
    return (prefix << np.uint64(_DIGIT)) | digits, np.array([place for _, place in found], np.int64)


def _first_count(order: _Order) -> Count:
    mask, zero = order.bits(order.mask), order.bits(order.zero)

    def count(scores: Any, counts: Counts) -> None:
        if not is_numpy(scores):
            _count_torch(order, order.first_shift, None, scores, counts[:, 0])
            return
        for row, row_counts in zip(scores, counts, strict=True):
            _count_first(order.keys(row), mask, zero, row_counts)

    return count


def _next_count(order: _Order, shift: int, prefix: NDArray[np.uint64]) -> Count:
    mask = order.bits(order.mask)
    ranges = [order.keys_under(int(known), shift + _DIGIT) for known in prefix]

    def count(scores: Any, counts: Counts) -> None:
        if not is_numpy(scores):
            _count_torch(order, shift, prefix, scores, counts)
            return
        for row, (lowest, span), row_counts in zip(scores, ranges, counts, strict=True):
            _count_next(order.keys(row), mask, lowest, span, shift, row_counts)

    return count


def _count_torch(order: _Order, shift: int, prefix: NDArray[np.uint64] | None, scores: Any, counts: Counts) -> None:
    """Do for a torch tensor [rows, m], on its device, what the compiled functions do for numpy."""
    import torch

    for n, row in enumerate(scores):
        bits = row.contiguous().view(torch.int32 if order.width == 32 else torch.int64)
        # Signed here: the key less that of zero.
        key = bits & (order.sign - 1)
        if not order.of_magnitudes:
            key = torch.where(bits < 0, -key, key)
        if prefix is None:
            counts[n, -1] += int(((key > 0) & (key >> shift == 0)).sum())
            digit = (key >> shift) + (order.zero >> shift)
            counts[n, :-1] += torch.bincount(digit, minlength=order.first_bins).cpu().numpy()
        else:
            known = int(prefix[n]) - (order.zero >> (shift + _DIGIT))
            sought = key[(key != 0) & (key >> (shift + _DIGIT) == known)]
            counts[n] += torch.bincount((sought >> shift) & (_BINS - 1), minlength=_BINS).cpu().numpy()


@compiled
def _to_ordered(bits: NDArray[Any], sign: Any, keys: NDArray[Any]) -> None:
    """Write to *keys* the *bits* of floats such that unsigned numbers have their order, -0 being 0."""
    for i in range(bits.size):
        # Negative numbers grow downwards: the key of -x is as far below that of 0 as the key of x above.
        value = bits[i]
        keys[i] = sign - (value ^ sign) if value & sign else value | sign


@compiled
def _count_first(keys: NDArray[Any], mask: Any, zero: Any, counts: Counts) -> None:
    """Count the entries by their upper digit in the lanes of *counts* [lanes, bins + 1].

    After the bins are counted those that share the digit of zero and are not zero.
    """
    unsigned = keys.dtype.type
    shift = keys.itemsize * 8 - _DIGIT
    after = counts.shape[1] - 1
    after_zero = unsigned(zero + unsigned(1))
    tiny = unsigned((unsigned(1) << shift) - 2)
    whole = keys.size - keys.size % _BLOCK
    zero_blocks = 0
    for start in range(0, whole, _BLOCK):
        differing = unsigned(0)
        nearest = unsigned(mask)
        for i in range(start, start + _BLOCK):
            key = unsigned(keys[i] & mask)
            differing = unsigned(differing | (key ^ zero))
            nearest = min(nearest, unsigned(key - after_zero))
        if differing == 0:
            zero_blocks += 1
            continue
        for i in range(start, start + _BLOCK, _LANES):
            for lane in range(_LANES):
                counts[lane, (keys[i + lane] & mask) >> shift] += 1
        if nearest <= tiny:
            for i in range(start, start + _BLOCK):
                counts[0, after] += int(unsigned((keys[i] & mask) - after_zero) <= tiny)
    for i in range(whole, keys.size):
        key = unsigned(keys[i] & mask)
        counts[0, key >> shift] += 1
        counts[0, after] += int(unsigned(key - after_zero) <= tiny)
    counts[0, zero >> shift] += zero_blocks * _BLOCK


@compiled
def _count_next(keys: NDArray[Any], mask: Any, lowest: Any, span: Any, shift: int, counts: Counts) -> None:
    """Count in *counts* [bins], by their digit at *shift*, the entries with keys from *lowest* to *lowest* + *span*."""
    unsigned = keys.dtype.type
    whole = keys.size - keys.size % _BLOCK
    for start in range(0, whole, _BLOCK):
        nearest = unsigned(mask)
        for i in range(start, start + _BLOCK):
            nearest = min(nearest, unsigned((keys[i] & mask) - lowest))
        if nearest <= span:
            _count_between(keys, start, start + _BLOCK, mask, lowest, span, shift, counts)
    _count_between(keys, whole, keys.size, mask, lowest, span, shift, counts)


@compiled
def _count_between(
    keys: NDArray[Any], start: int, stop: int, mask: Any, lowest: Any, span: Any, shift: int, counts: Counts
) -> None:
    unsigned = keys.dtype.type
    for i in range(start, stop):
        key = unsigned(keys[i] & mask)
        if unsigned(key - lowest) <= span:
            counts[(key >> shift) & np.uint64(_BINS - 1)] += 1


@compiled
def _find(counts: Counts, place: int) -> tuple[int, int]:
    """Return the bin of *counts* [lanes, bins] in which the entry at *place*, from 1, is, and its place in it."""
    for digit in range(counts.shape[1]):
        here = 0
        for lane in range(counts.shape[0]):
            here += counts[lane, digit]
        if place <= here:
            return digit, place
        place -= here
    raise ValueError("fewer entries came than in the run before")
