from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compute.merging.quantiles import kth_largest

TINY = float(np.finfo(np.float32).smallest_subnormal)
AWKWARD = [0.0, -0.0, 1.0, -1.0, TINY, -TINY, 3 * TINY, 1e-38, float("inf"), -float("inf"), 1 + 2**-20, 1 + 2**-23]
NUMBERS = st.one_of(st.sampled_from(AWKWARD), st.floats(width=32, allow_nan=False))


def over(*chunks):
    """Run over *chunks* one after the other, last first."""

    def accumulate(function, shape):
        counts = np.zeros(shape, np.int64)
        for chunk in chunks[::-1]:
            function(chunk, counts)
        return counts

    return accumulate


def sorted_down(scores, of_magnitudes):
    return np.sort(abs(scores) if of_magnitudes else scores + 0, axis=1)[:, ::-1]


@st.composite
def tables(draw):
    """Scores of one to three rows with many ties, long enough for whole blocks, and where to cut them."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rows = draw(st.integers(1, 3))
    numbers = draw(arrays(np.float64, (rows, draw(st.integers(1, 12))), elements=NUMBERS)).astype(dtype)
    scores = np.tile(numbers, draw(st.sampled_from([1, 2, 23])))
    if draw(st.booleans()):
        scores = np.concatenate([scores, np.zeros((rows, 200), dtype)], axis=1)
    if dtype == np.float64 and draw(st.booleans()):
        with np.errstate(over="ignore", invalid="ignore"):
            scores = np.nan_to_num(scores * 10.0 ** draw(st.sampled_from([-310, 0.1, 250])), posinf=np.inf)
    return scores, draw(st.lists(st.integers(0, scores.shape[1]), max_size=3))


@settings(max_examples=150, deadline=None)
@given(tables(), st.booleans(), st.sampled_from([np.asarray, torch.from_numpy]), st.booleans(), st.data())
def test_it_is_the_entry_at_that_place_of_the_sorted_ones(table, of_magnitudes, library, few, data):
    scores, cuts = table
    total = scores.shape[1]
    places = np.array(data.draw(st.lists(st.integers(1, total), min_size=len(scores), max_size=len(scores))))
    asked = []

    def rank(count, nonzero):
        asked.append((count, nonzero.tolist()))
        return places

    chunks = [library(chunk.copy()) for chunk in np.split(scores, sorted(cuts), axis=1)]
    size = total if few else None
    got = kth_largest(over(*chunks), len(scores), scores.dtype, rank, of_magnitudes=of_magnitudes, size=size)
    assert asked == [(total, np.count_nonzero(scores, axis=1).tolist())]
    expected = sorted_down(scores, of_magnitudes)[np.arange(len(scores)), places - 1]
    assert got.dtype == scores.dtype
    np.testing.assert_array_equal(got.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("of_magnitudes", [False, True])
def test_large_arrays_from_several_threads(dtype, of_magnitudes):
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(4, 200_003)).astype(dtype)
    scores[:, 50_000:120_000] = 0
    scores[1] = np.round(scores[1], 2)
    rows = np.split(np.hstack([scores, np.ones((4, 5), dtype)])[:, :-5], 7 * np.arange(1, 9) * 3000, axis=1)

    def accumulate(function, shape):
        def of_thread(chunks):
            return over(*chunks)(function, shape)

        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(of_thread, [rows[::2], rows[1::2]]))

    for density in (0.001, 0.2, 0.5, 0.9):
        got = kth_largest(
            accumulate,
            4,
            dtype,
            lambda total, nonzero, d=density: (d * nonzero).astype(int),
            of_magnitudes=of_magnitudes,
        )
        places = (density * np.count_nonzero(scores, axis=1)).astype(int)
        np.testing.assert_array_equal(got, sorted_down(scores, of_magnitudes)[np.arange(4), places - 1])


@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("place", [0, -1, 6])
def test_a_place_that_no_entry_has_is_refused(size, place):
    scores = np.arange(10, dtype=np.float32).reshape(2, 5)
    with pytest.raises(ValueError, match=f"a rank from 1 to 5, the number of entries, is expected, not {place}"):
        kth_largest(over(scores), 2, np.float32, lambda total, nonzero: np.array([1, place]), size=size)


def test_scores_of_another_type_are_refused():
    with pytest.raises(TypeError, match="scores of 32 bits are expected, not of float64"):
        kth_largest(over(np.ones((1, 5))), 1, np.float32, lambda total, nonzero: np.array([1]))
