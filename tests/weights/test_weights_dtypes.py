from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compute.errors import UsageError
from compute.weights.dtypes import BLOCK, BY_NAME, from_float, stored, to_float

ALL_HALVES = np.arange(1 << 16, dtype=np.uint16)


def narrowed(values: np.ndarray, dtype: str) -> np.ndarray:
    out = np.empty(values.shape, stored(dtype).storage)
    from_float(values, dtype, out)
    return out


def widened(bits: np.ndarray, dtype: str, to: type = np.float32) -> np.ndarray:
    out = np.empty(bits.shape, to)
    to_float(bits, dtype, out)
    return out


def test_every_bfloat16_comes_back_bit_for_bit() -> None:
    wide = widened(ALL_HALVES, "bfloat16")
    expected = torch.from_numpy(ALL_HALVES.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert np.array_equal(wide.view(np.uint32), expected.view(np.uint32))
    assert np.array_equal(narrowed(wide, "bfloat16"), ALL_HALVES)


def test_bfloat16_through_float64() -> None:
    wide = widened(ALL_HALVES, "bfloat16", np.float64)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        assert np.array_equal(wide, widened(ALL_HALVES, "bfloat16").astype(np.float64), equal_nan=True)
    numbers = ~np.isnan(wide)
    assert np.array_equal(narrowed(wide, "bfloat16")[numbers], ALL_HALVES[numbers])


@given(hnp.arrays(np.uint32, st.integers(0, 40)))
def test_bfloat16_rounds_as_torch_does(words: np.ndarray) -> None:
    values = words.view(np.float32)
    got = narrowed(values, "bfloat16")
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    numbers = ~np.isnan(values)
    assert np.array_equal(got[numbers], expected[numbers])
    assert np.isnan(widened(got, "bfloat16"))[~numbers].all()


POSITIVE = [Fraction(float(value)) for value in (ALL_HALVES[:0x7F80].astype(np.uint32) << 16).view(np.float32)]


def nearest(value: float) -> int:
    """The bits of the bfloat16 nearest to a number, by exact arithmetic."""
    size, sign = Fraction(abs(value)), 0x8000 if math.copysign(1, value) < 0 else 0
    if size >= POSITIVE[-1] + (POSITIVE[-1] - POSITIVE[-2]) / 2:
        return sign | 0x7F80
    at = bisect_left(POSITIVE, size)
    around = [bits for bits in (at - 1, at) if 0 <= bits < len(POSITIVE)]
    return sign | min(around, key=lambda bits: (abs(POSITIVE[bits] - size), bits % 2))


@given(hnp.arrays(np.float64, 20, elements=st.floats(width=64, allow_nan=False, allow_infinity=False)))
def test_float64_is_rounded_to_bfloat16_once(values: np.ndarray) -> None:
    assert narrowed(values, "bfloat16").tolist() == [nearest(float(value)) for value in values]


def test_float64_just_above_a_tie_goes_up() -> None:
    tie = 1 + 2.0**-8
    assert narrowed(np.array([tie, tie + 2.0**-50, tie - 2.0**-50]), "bfloat16").tolist() == [0x3F80, 0x3F81, 0x3F80]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(values=hnp.arrays(np.float32, st.integers(0, 20)))
def test_other_floats_round_as_numpy_does(dtype: str, values: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        assert np.array_equal(narrowed(values, dtype), values.astype(dtype), equal_nan=True)
        assert np.array_equal(widened(values, "float32", np.float64), values.astype(np.float64), equal_nan=True)


def test_more_than_a_block() -> None:
    values = np.linspace(-3, 3, 2 * BLOCK + 7, dtype=np.float32)
    for kind in (np.float32, np.float64):
        got = narrowed(values.astype(kind), "bfloat16")
        assert np.array_equal(got, torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16))
        assert widened(got, "bfloat16", kind).dtype == kind


def test_names_are_torchs() -> None:
    for name, kind in BY_NAME.items():
        assert getattr(torch, name).itemsize == kind.storage.itemsize
        assert getattr(torch, name).is_floating_point == kind.floating


def test_what_is_not_supported_is_said() -> None:
    with pytest.raises(UsageError, match=r"float8_e4m3fn.*bfloat16"):
        stored("float8_e4m3fn")
    with pytest.raises(ValueError, match="no fractions"):
        narrowed(np.zeros(1, np.float32), "int64")
