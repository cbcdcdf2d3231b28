from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.merging import kernels

DTYPES = st.sampled_from([np.float32, np.float64])
COLUMNS = [1, 7, 2048, 2049, 5000]  # within a tile, a whole one, and beyond


@st.composite
def cases(draw):
    """Rows with ties, zeros of both signs and entries that cancel, not always next to each other in memory."""
    dtype = draw(DTYPES)
    count = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    memory = (rng.integers(-4, 5, size=(count, draw(st.sampled_from(COLUMNS)) + 3)) / 7).astype(dtype)
    memory[rng.random(memory.shape) < 0.1] = -0.0
    memory += draw(st.booleans()) * rng.normal(size=memory.shape).astype(dtype) * dtype(1e-3)
    rows = memory[:, :-3] if draw(st.booleans()) else memory[:, 3:].copy()
    return rows, *(rng.random(count).astype(dtype) for _ in range(2))


def trimmed(rows, thresholds):
    return np.where(abs(rows) < thresholds[:, None], rows.dtype.type(0), rows)


def plain_sum(rows, coefficients):
    total = np.zeros_like(rows[0])
    for row, coefficient in zip(rows, coefficients, strict=True):
        total = total + coefficient * row
    return total


def plain_disjoint(rows, coefficients, sign, mode):
    zero = rows.dtype.type(0)
    total, weight = np.zeros_like(rows[0]), np.zeros_like(rows[0])
    for row, coefficient in zip(rows, coefficients, strict=True):
        agrees = row * sign > 0
        total = total + np.where(agrees, coefficient * row, zero)
        weight = weight + np.where(agrees, coefficient if mode == kernels.BY_WEIGHT else rows.dtype.type(1), zero)
    return total if mode == kernels.BY_NOTHING else total / np.where(weight == 0, rows.dtype.type(1), weight)


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.view(np.uint8), expected.view(np.uint8))


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([kernels.BY_WEIGHT, kernels.BY_COUNT, kernels.BY_NOTHING]))
def test_a_disjoint_sum_takes_the_rows_that_have_the_sign(case, mode):
    rows, coefficients, _ = case
    sign = np.sign(rows[-1]) + 0
    out = np.empty_like(rows[0])
    kernels.disjoint(rows, coefficients, sign, mode, out)
    assert_same_bits(out, plain_disjoint(rows, coefficients, sign, mode))


@settings(max_examples=120, deadline=None)
@given(
    cases(),
    st.booleans(),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from([kernels.BY_WEIGHT, kernels.BY_COUNT, kernels.BY_NOTHING]),
    st.sampled_from([1.0, 0.3]),
)
def test_ties_is_its_steps_one_after_the_other(case, weighted, tie_sign, mode, scale):
    rows, coefficients, thresholds = case
    before = rows.copy()
    election = coefficients if weighted else None
    out = np.empty_like(rows[0])
    kernels.ties(rows, thresholds, election, coefficients, tie_sign, mode, scale, out)
    assert_same_bits(rows.copy(), before)

    kept = trimmed(rows, thresholds)
    sign = np.sign(plain_sum(kept, coefficients if weighted else np.ones_like(coefficients)))
    assert kernels.majority(rows, thresholds, election) == (sign > 0).sum() - (sign < 0).sum()
    sign = np.where(sign == 0, rows.dtype.type(tie_sign), sign)
    assert_same_bits(out, plain_disjoint(kept, coefficients, sign, mode) * rows.dtype.type(scale))


def test_rows_must_be_contiguous_and_not_overlap():
    backwards = np.ones((3, 8), np.float32)[::-1]
    for rows in (np.ones((3, 8), np.float32)[:, ::2], backwards):
        with pytest.raises(ValueError, match="rows of contiguous entries"):
            kernels.disjoint(rows, *np.ones((2, 3), np.float32), 0, np.empty(rows.shape[1], np.float32))


@pytest.mark.parametrize("module", ["kernels", "lots", "quantiles"])
def test_torch_is_not_imported(module):
    code = f"import sys, compute.merging.{module}; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_nothing_can_be_written_functions_are_compiled_without_a_cache(monkeypatch):
    njit = kernels.njit

    def njit_without_a_place(*, cache=False, **options):
        def decorate(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return njit(**options)(function)

        return decorate

    monkeypatch.setattr(kernels, "njit", njit_without_a_place)
    assert kernels.compiled(lambda number: number + 1)(2) == 3
