from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file

from compute.errors import UsageError
from compute.weights.compact import Compact, compact, pack, unpack
from compute.weights.memory import InMemory
from compute.weights.safetensors_files import SafetensorsFile

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool]


def of_bits(bits: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A tensor [rows, columns] of any bits: NaNs and -0.0, too."""
    if not bits.size:
        return torch.empty(bits.shape[:-1], dtype=dtype)
    raw = np.ascontiguousarray(bits[..., : dtype.itemsize]) & (1 if dtype == torch.bool else 255)
    return torch.from_numpy(raw).view(dtype).reshape(bits.shape[:-1])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    base, own = {}, {}
    for number in range(draw(st.integers(1, 4))):
        name, dtype = f"t{number}", draw(st.sampled_from(DTYPES))
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))
        bits = draw(hnp.arrays(np.uint8, (*shape, 8), elements=st.sampled_from([0, 1, 127, 128, 255])))
        base[name] = of_bits(bits, dtype)
        other = bits.copy()
        if shape and shape[0] and draw(st.booleans()):
            other[draw(st.lists(st.integers(0, shape[0] - 1), max_size=3))] ^= 128
        own[name] = of_bits(other, draw(st.sampled_from([dtype, dtype, dtype, torch.uint8])))
    for side in (base, own):
        if draw(st.booleans()):
            del side["t0"]
    return base, own


def raws(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[object, bytes]]:
    weights = InMemory(tensors)
    return {name: (info, weights.raw(name).tobytes()) for name, info in weights.tensors().items()}


@given(pairs())
def test_what_was_packed_comes_back_bit_for_bit(pair: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]) -> None:
    base, own = pair
    packed = pack(base, own)
    assert raws(unpack(base, packed)) == raws(own)
    weights = Compact(InMemory(base), InMemory(packed))
    for name, info in weights.tensors().items():
        assert weights.raw(name).tobytes() == raws(own)[name][1]
        whole = np.empty(info.size, np.float64)
        with np.errstate(invalid="ignore"):
            InMemory(own).read(name, 0, whole)
            for start in range(0, info.size, 5):
                out = np.empty(min(7, info.size - start), np.float64)
                weights.read(name, start, out)
                assert np.array_equal(out, whole[start : start + 7], equal_nan=True)


def fine_tuned(dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    base = {"embeddings": torch.randn(1000, 16).to(dtype), "dense": torch.randn(16, 16), "frozen": torch.randn(5)}
    own = {name: tensor.clone() for name, tensor in base.items()} | {"head": torch.randn(3, 16)}
    own["embeddings"][[3, 500, 999]] += 1
    own["dense"] += 1
    return base, own


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_did_not_move_are_not_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    base, own = fine_tuned(dtype)
    packed = pack(base, own)
    assert set(packed) == {"embeddings#rows", "embeddings#values", "dense", "head"}
    assert packed["embeddings#rows"].tolist() == [3, 500, 999]
    assert packed["embeddings#values"].dtype == dtype
    assert packed["embeddings#values"].shape == (3, 16)
    assert sum(t.nbytes for t in packed.values()) < sum(t.nbytes for t in own.values()) / 10
    save_file(packed, tmp_path / "packed.safetensors")
    weights = Compact(InMemory(base), SafetensorsFile(tmp_path / "packed.safetensors"))
    assert {name: weights.raw(name).tobytes() for name in own} == {name: raw for name, (_, raw) in raws(own).items()}


def test_minus_zero_and_nans_are_changes() -> None:
    base = {"a": torch.zeros(100, 2), "b": torch.full((2,), float("nan"))}
    own = {"a": base["a"].clone(), "b": base["b"].clone()}
    own["a"][7] = -0.0
    assert pack(base, own)["a#rows"].tolist() == [7]
    own["b"].view(torch.int32)[0] ^= 1
    assert "b" in pack(base, own)


def test_what_the_model_lacks_is_not_made_up() -> None:
    base = {"pooler": torch.ones(3), "encoder": torch.ones(3)}
    packed = pack(base, {"encoder": torch.ones(3)})
    assert list(packed) == ["pooler#absent"]
    assert list(unpack(base, packed)) == ["encoder"]


def test_where_most_rows_moved_the_tensor_is_kept_whole() -> None:
    base = {"a": torch.zeros(10, 2)}
    assert list(pack(base, {"a": torch.ones(10, 2)})) == ["a"]


def test_plain_arrays_keep_bfloat16_as_bits() -> None:
    base, own = fine_tuned(torch.bfloat16)
    packed = compact(InMemory(base), InMemory(own))
    assert packed.mapping["embeddings#values"].dtype == np.uint16
    assert packed.tensors()["embeddings#values"].dtype == "bfloat16"


def test_names_of_parts_are_taken() -> None:
    with pytest.raises(UsageError, match=r"'a#rows' cannot be packed"):
        pack({}, {"a#rows": torch.zeros(1)})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"embeddings#rows": torch.tensor([3, 500, 1000])}, "ascending rows below 1000"),
        ({"embeddings#rows": torch.tensor([3, 3, 999])}, "ascending rows"),
        ({"embeddings#rows": torch.tensor([-1, 3, 999])}, "ascending rows"),
        ({"embeddings#rows": torch.tensor([3.0, 500.0, 999.0])}, "where rows are counted"),
        ({"embeddings#rows": torch.tensor([3])}, "does not fit its rows"),
        ({"embeddings#values": torch.zeros(3, 16).double()}, "does not fit its rows"),
        ({"embeddings#values": None}, "does not fit its rows"),
        ({"embeddings#rows": None}, "has no #rows"),
        ({"other#rows": torch.tensor([1])}, "no matrix other"),
    ],
)
def test_damaged_parts_are_refused(change: dict[str, torch.Tensor | None], match: str) -> None:
    base, own = fine_tuned(torch.float32)
    packed = {name: part for name, part in (pack(base, own) | change).items() if part is not None}
    with pytest.raises(UsageError, match=match):
        unpack(base, packed)
