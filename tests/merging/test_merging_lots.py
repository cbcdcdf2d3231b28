from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.merging.lots import drop, dropped, lots, lots_like, stream

KEYS = st.integers(0, 2**64 - 1)
STARTS = st.integers(0, 2**40)


def drawn(key, start, count):
    out = np.empty(count, np.float32)
    lots(key, start, out)
    return out


def splitmix(key, index):
    """SplitMix64 as its paper prints it, with numbers of any length."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_pinned_first_values():
    # The first outputs of SplitMix64 seeded with 0, as published with many implementations of it.
    assert [splitmix(0, i) for i in range(2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert drawn(0, 0, 2).tolist() == [0xE220A8 / 2**24, 0x6E789E / 2**24]
    assert stream(1, "de", "encoder.weight") == 0xA625211DCFFBAB86
    assert drawn(stream(1, "de", "encoder.weight"), 0, 3).tolist() == [
        0.8328505754470825,
        0.2087651491165161,
        0.11108875274658203,
    ]


@given(KEYS, STARTS)
def test_lots_are_the_upper_bits_of_splitmix(key, start):
    expected = [(splitmix(key, start + i) >> 40) / 2**24 for i in range(5)]
    assert drawn(key, start, 5).tolist() == expected


@given(KEYS, STARTS, st.lists(st.integers(0, 70), min_size=1, max_size=6))
def test_lots_do_not_depend_on_chunks(key, start, sizes):
    starts = start + np.cumsum([0, *sizes[:-1]])
    chunks = [drawn(key, int(at), size) for at, size in zip(starts, sizes, strict=True)]
    np.testing.assert_array_equal(np.concatenate(chunks), drawn(key, start, sum(sizes)))


@given(KEYS, STARTS)
def test_torch_draws_the_same_lots(key, start):
    expected = drawn(key, start, 12)
    for like in (torch.empty(3, 4), np.empty((3, 4)), torch.empty(3, 4, dtype=torch.float64)):
        got = lots_like(key, start, like)
        assert got.shape == (3, 4) and isinstance(got, type(like))
        assert np.asarray(got).dtype == np.float32
        np.testing.assert_array_equal(np.asarray(got).ravel(), expected)


def test_lots_are_uniform_and_streams_are_independent():
    first, second = (drawn(stream(seed, "de", "w"), 0, 1_000_000) for seed in (0, 1))
    assert first.min() >= 0 and first.max() < 1
    counts = np.bincount((first * 1000).astype(int), minlength=1000)
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert abs(chi_square - 999) < 4 * np.sqrt(2 * 999)
    for other in (second, drawn(stream(0, "fr", "w"), 0, 1_000_000), np.roll(first, 1), drawn(1, 0, 1_000_000)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4e-3
    # Not only keys far apart: the streams of neighbouring numbers, too.
    assert abs(np.corrcoef(drawn(7, 0, 1_000_000), drawn(8, 0, 1_000_000))[0, 1]) < 4e-3


@settings(deadline=None)
@given(KEYS, STARTS, st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.sampled_from([np.float32, np.float64]), st.booleans())
def test_an_entry_is_dropped_if_its_lot_is_below_the_rate(key, start, rate, dtype, rescaled):
    values = np.linspace(-2, 3, 33).astype(dtype)
    divisor = None if rescaled else 1.0
    kept = values / dtype(1 - rate) if rescaled else values
    expected = np.where(drawn(key, start, 33) < np.float32(rate), dtype(0), kept)

    for chunks in ([33], [10, 23], [1, 32]):
        got, at = values.copy(), 0
        for size in chunks:
            drop(got[at : at + size], key, start + at, rate, divisor)
            at += size
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)

    for array in (values.reshape(3, 11), torch.from_numpy(values.reshape(3, 11))):
        result = dropped(array, key, start, rate, divisor)
        assert np.asarray(result).dtype == dtype
        np.testing.assert_array_equal(np.asarray(result).ravel(), expected)


def test_the_mask_is_that_of_float32_and_float64_alike():
    single, double = np.ones(1000, np.float32), np.ones(1000)
    drop(single, 3, 0, 0.9)
    drop(double, 3, 0, 0.9)
    np.testing.assert_array_equal(single == 0, double == 0)


def test_the_mean_over_seeds_is_the_task_vector():
    values = np.linspace(-1, 1, 500)
    total = np.zeros(500)
    seeds, rate = 4000, 0.9
    for seed in range(seeds):
        draw = values.copy()
        drop(draw, stream(seed, "de", "w"), 0, rate)
        total += draw
    deviation = abs(values) * np.sqrt(rate / (1 - rate) / seeds)
    assert (abs(total / seeds - values) <= 5 * deviation + 1e-12).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match="drop rate is the share"):
        drop(np.ones(3), 0, 0, rate)
    with pytest.raises(ValueError, match="drop rate is the share"):
        dropped(torch.ones(3), 0, 0, rate)
