from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, XLMRobertaConfig, XLMRobertaForSequenceClassification

from compute.errors import RecountError, UsageError
from compute.weights.dtypes import BY_NAME, from_float, stored, to_float
from compute.weights.memory import InMemory, MemorySink
from compute.weights.safetensors_files import open_folder
from compute.weights.weights import Sink, TensorInfo, Weights, layout
from compute.weights.writing import SafetensorsSink, split

FLOATS = [name for name, kind in BY_NAME.items() if kind.floating]


def copy(weights: Weights, sink: Sink, chunk: int = 1000, threads: int = 1) -> None:
    """Write floats piece by piece, shuffled among the threads, and everything else whole."""

    def write(name: str, start: int, stop: int) -> None:
        info = weights.tensors()[name]
        piece = np.empty(stop - start, np.float64 if info.dtype == "float64" else np.float32)
        weights.read(name, start, piece)
        sink.write(name, start, piece)

    pieces = []
    for name, info in weights.tensors().items():
        if info.floating:
            pieces += [(name, start, min(start + chunk, info.size)) for start in range(0, info.size, chunk)]
        else:
            sink.put(name, weights.raw(name))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda piece: write(*piece), reversed(pieces)))


def raws(weights: Weights) -> dict[str, tuple[object, bytes]]:
    return {name: (info, weights.raw(name).tobytes()) for name, info in weights.tensors().items()}


@st.composite
def models(draw: st.DrawFn) -> InMemory:
    """Tensors of any dtype and shape, NaNs only quiet: what a conversion may touch is tested elsewhere."""
    arrays, dtypes = {}, {}
    for number in range(draw(st.integers(1, 5))):
        kind = BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=5, min_side=0))
        if kind.floating:
            values = draw(hnp.arrays(np.float64, shape, elements=st.floats(width=16)))
            bits = np.empty(values.size, kind.storage)
            from_float(values.reshape(-1), kind.name, bits)
            array = bits.reshape(shape)
        else:
            array = draw(hnp.arrays(kind.storage, shape))
        arrays[f"layer.{number}.wäit\"'"], dtypes[f"layer.{number}.wäit\"'"] = array, kind.name
    return InMemory(arrays, dtypes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(models(), st.integers(1, 20), st.integers(1, 3), st.sampled_from([None, 1, 64, 10_000]))
def test_what_was_written_is_read_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, model: InMemory, chunk: int, threads: int, shard_size: int | None
) -> None:
    folder = tmp_path_factory.mktemp("model")
    with SafetensorsSink(folder, model.tensors().values(), {"by": "ä"}, shard_size) as sink:
        copy(model, sink, chunk, threads)
    assert raws(open_folder(folder)) == raws(model)
    memory = MemorySink(model.tensors().values())
    copy(model, memory, chunk, threads)
    memory.close()
    assert raws(memory.weights()) == raws(model)
    assert raws(InMemory(memory.torch())) == raws(model)
    read: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        read |= load_file(file)
        with safe_open(file, "pt") as opened:
            assert opened.metadata() == {"format": "pt", "by": "ä"}
    assert raws(InMemory(read)) == {name: raws(model)[name] for name in read} and set(read) == set(model.tensors())
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_more_than_a_block_and_threads(tmp_path: Path, dtype: str, kind: type) -> None:
    values = np.random.default_rng(0).standard_normal(200_001).astype(kind)
    info = TensorInfo("a", (200_001,), dtype)
    expected = np.empty(values.shape, stored(dtype).storage)
    from_float(values, dtype, expected)
    memory = MemorySink([info])
    with SafetensorsSink(tmp_path, [info], {}) as files, ThreadPoolExecutor(4) as pool:
        for sink in (files, memory):
            list(
                pool.map(lambda at, sink=sink: sink.write("a", at, values[at : at + 70_001]), range(0, 200_001, 70_001))
            )
    memory.close()
    for weights in (open_folder(tmp_path), memory.weights()):
        assert weights.raw("a").tobytes() == expected.tobytes()
        for to in (np.float32, np.float64):
            found, wide = np.empty(values.shape, to), np.empty(values.shape, to)
            weights.read("a", 0, found)
            to_float(expected, dtype, wide)
            assert np.array_equal(found, wide)


def test_wider_dtypes_come_first_so_that_all_are_aligned() -> None:
    infos = [TensorInfo("b", (3,), "bfloat16"), TensorInfo("a", (3,), "float32"), TensorInfo("c", (1,), "int64")]
    assert layout(infos) == {"c": (0, 8), "a": (8, 20), "b": (20, 26)}
    with pytest.raises(ValueError, match="twice"):
        layout([*infos, infos[0]])


def test_a_tensor_is_never_split() -> None:
    sizes = [30, 10, 10, 10, 90, 5]
    infos = [TensorInfo(str(number), (size,), "uint8") for number, size in enumerate(sizes)]
    assert [[info.size for info in shard] for shard in split(infos, 30)] == [[30], [10, 10, 10], [90], [5]]
    assert len(split(infos, None)) == 1
    assert split([], 5) == [[]]


INFO = TensorInfo("a", (10,), "float32")


def test_nothing_is_there_before_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    sink = SafetensorsSink(folder, [INFO], {})
    sink.write("a", 0, np.zeros(9, np.float32))
    assert [path.suffix for path in folder.iterdir()] == [".partial"]
    with pytest.raises(ValueError, match="1 entries were not written"):
        sink.close()
    assert not list(folder.iterdir())
    with pytest.raises(ValueError, match="closed"):
        sink.write("a", 9, np.zeros(1, np.float32))


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SafetensorsSink(tmp_path, [INFO], {}) as sink:
        sink.write("a", 0, np.zeros(10, np.float32))
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_an_error_while_renaming_leaves_nothing(tmp_path: Path) -> None:
    infos = [INFO, TensorInfo("b", (10,), "float32")]
    sink = SafetensorsSink(tmp_path, infos, {}, 40)
    for info in infos:
        sink.write(info.name, 0, np.zeros(10, np.float32))
    (tmp_path / "model-00002-of-00002.safetensors").mkdir()
    with pytest.raises(IsADirectoryError):
        sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["model-00002-of-00002.safetensors"]


def test_weights_are_not_overwritten(tmp_path: Path) -> None:
    with SafetensorsSink(tmp_path, [INFO], {}) as sink:
        sink.put("a", np.zeros(40, np.uint8))
    sink.close()
    with pytest.raises(UsageError, match=r"weights already \(model.safetensors\)"):
        SafetensorsSink(tmp_path, [INFO], {})
    assert open_folder(tmp_path).raw("a").size == 40


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        SafetensorsSink(tmp_path / "file" / "folder", [INFO], {})


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync"])
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(RecountError, match=r"no room for the weights, which take 40 bytes \(No space left"),
        SafetensorsSink(tmp_path, [INFO], {}, durable=True) as sink,
    ):
        sink.write("a", 0, np.zeros(10, np.float32))
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_reserves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    with SafetensorsSink(tmp_path, [INFO], {}) as sink:
        sink.write("a", 0, np.arange(10, dtype=np.float64))
    assert open_folder(tmp_path).raw("a").view(np.float32).tolist() == list(range(10))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    memory = MemorySink([INFO])
    with SafetensorsSink(tmp_path, [INFO], {}) as files:
        for sink in (files, memory):
            with pytest.raises(ValueError, match="40 bytes are needed"):
                sink.put("a", np.zeros(39, np.uint8))
            with pytest.raises(ValueError, match="entries 5 to 11 of 10"):
                sink.write("a", 5, np.zeros(6))
            with pytest.raises(UsageError, match="unknown tensor 'b'"):
                sink.write("b", 0, np.zeros(1))
            sink.write("a", 0, np.zeros(10))
    with pytest.raises(ValueError, match=r"before close"):
        memory.tensors()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shard_size", [None, 1000])
def test_transformers_opens_the_result(tmp_path: Path, dtype: torch.dtype, shard_size: int | None) -> None:
    config = XLMRobertaConfig(
        vocab_size=32,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        num_labels=3,
    )
    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification(config).to(dtype).eval()
    model.config.dtype = dtype
    model.config.save_pretrained(tmp_path)
    weights = InMemory(model.state_dict())
    with SafetensorsSink(tmp_path, weights.tensors().values(), {}, shard_size) as sink:
        copy(weights, sink)
    assert (tmp_path / "model.safetensors").exists() == (shard_size is None)
    if shard_size:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in model.state_dict().values())
        assert len(set(index["weight_map"].values())) > 2
    opened, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype="auto", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, tensor in opened.state_dict().items():
        assert tensor.dtype == dtype and torch.equal(tensor, model.state_dict()[name])


def test_a_view_that_is_not_contiguous_is_read_as_it_is_seen() -> None:
    torch_tensor = torch.arange(60.0).reshape(3, 4, 5).permute(2, 0, 1)
    for array in (torch_tensor, torch.nn.Parameter(torch_tensor), torch_tensor.numpy(), torch_tensor.bfloat16()):
        weights = InMemory({"a": array})
        expected = torch_tensor.reshape(-1).numpy()
        for start in range(0, 60, 7):
            out = np.empty(min(13, 60 - start), np.float32)
            weights.read("a", start, out)
            assert np.array_equal(out, expected[start : start + 13])
        assert weights.raw("a").tobytes() == bytes(
            torch.as_tensor(array).detach().contiguous().reshape(-1).view(torch.uint8).tolist()
        )
