from __future__ import annotations

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from compute.errors import UsageError
from compute.weights.memory import InMemory
from compute.weights.safetensors_files import SafetensorsFile, open_folder
from compute.weights.weights import Weights


def some_tensors() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    wide = torch.randn(37, 5, generator=draw)
    return {
        "double": wide.double(),
        "single": wide.clone(),
        "half": wide.half(),
        "brain": wide.bfloat16(),
        "ids": torch.arange(7),
        "mask": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "cube": torch.randn(2, 3, 4, generator=draw),
    }


def read(weights: Weights, name: str, dtype: type = np.float32, chunk: int = 1 << 20) -> np.ndarray:
    info = weights.tensors()[name]
    out = np.full(info.size, np.nan, dtype)
    for start in range(0, info.size, chunk):
        weights.read(name, start, out[start : start + chunk])
    return out.reshape(info.shape)


def check_same(weights: Weights, tensors: dict[str, torch.Tensor], chunk: int = 1 << 20) -> None:
    assert set(weights.tensors()) == set(tensors)
    for name, tensor in tensors.items():
        info = weights.tensors()[name]
        assert (info.shape, info.dtype) == (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        assert weights.raw(name).tobytes() == bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())
        if info.floating:
            assert np.array_equal(read(weights, name, np.float32, chunk), tensor.float().numpy())
            assert np.array_equal(read(weights, name, np.float64, chunk), tensor.double().numpy())


def shards(folder: Path) -> dict[str, torch.Tensor]:
    tensors = some_tensors()
    names = list(tensors)
    places = {}
    for number, held in enumerate((names[:4], names[4:]), 1):
        save_file({name: tensors[name] for name in held}, folder / f"model-0000{number}-of-00002.safetensors")
        places |= dict.fromkeys(held, f"model-0000{number}-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return tensors


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_one_file(tmp_path: Path, chunk: int) -> None:
    save_file(some_tensors(), tmp_path / "model.safetensors", {"format": "pt"})
    weights = open_folder(tmp_path)
    check_same(weights, some_tensors(), chunk)
    assert weights.files == (tmp_path / "model.safetensors",)


def test_shards(tmp_path: Path) -> None:
    tensors = shards(tmp_path)
    weights = open_folder(tmp_path)
    check_same(weights, tensors)
    assert [file.name for file in weights.files] == [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_a_shard_that_is_missing_or_lacks_a_tensor(tmp_path: Path) -> None:
    shards(tmp_path)
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file({"other": torch.zeros(1)}, second)
    with pytest.raises(UsageError, match=r"00002-of-00002.safetensors does not hold 'ids'"):
        open_folder(tmp_path)
    second.unlink()
    with pytest.raises(UsageError, match=r"missing: model-00002-of-00002.safetensors"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": "../a.safetensors"}}',
        '{"weight_map": {"a": ".."}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "\\u0000"}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_index(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UsageError, match=r"model\.safetensors\.index\.json"):
        open_folder(tmp_path)


def test_pickles(tmp_path: Path) -> None:
    tensors = some_tensors()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    check_same(open_folder(tmp_path), tensors)
    torch.save(tensors, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    check_same(open_folder(tmp_path), tensors)


def test_sharded_pickles(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "one.bin")
    torch.save({"b": torch.zeros(3)}, tmp_path / "two.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.bin", "b": "two.bin"}}))
    check_same(open_folder(tmp_path), {"a": torch.ones(2), "b": torch.zeros(3)})
    index.write_text(json.dumps({"weight_map": {"a": "one.bin", "b": "one.bin"}}))
    with pytest.raises(UsageError, match=r"one.bin does not hold 'b'"):
        open_folder(tmp_path)


def test_tied_tensors_come_once(tmp_path: Path) -> None:
    embeddings = torch.randn(6, 2)
    tensors = {"embeddings": embeddings, "part": embeddings[:3], "head": embeddings, "none": torch.empty(0)}
    torch.save(tensors | {"nothing": torch.empty(0)}, tmp_path / "pytorch_model.bin")
    weights = open_folder(tmp_path)
    assert weights.aliases == {"head": "embeddings"}
    assert list(weights.tensors()) == ["embeddings", "part", "none", "nothing"]


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"a": Path("x")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="convert it to safetensors"):
        open_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04 and no more"])
def test_a_damaged_pickle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UsageError, match=r"pytorch_model\.bin"):
        open_folder(tmp_path)


def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="does not map names to tensors"):
        open_folder(tmp_path)


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    save_file({"b": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert list(open_folder(tmp_path).tensors()) == ["b"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no weights: expected model\.safetensors"):
        open_folder(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        open_folder(tmp_path / "nowhere")


def test_an_unknown_tensor_and_pieces_beyond(tmp_path: Path) -> None:
    save_file({"abc": torch.zeros(4)}, tmp_path / "model.safetensors")
    folder, memory = open_folder(tmp_path), InMemory({"abc": torch.zeros(4)})
    for weights in (folder, memory):
        with pytest.raises(UsageError, match="did you mean abc"):
            weights.read("abd", 0, np.empty(1, np.float32))
        with pytest.raises(ValueError, match="entries 3 to 5 of 4"):
            weights.read("abc", 3, np.empty(2, np.float32))
        with pytest.raises(ValueError, match="float32"):
            weights.read("abc", 0, np.empty(2, np.int32))
        with pytest.raises(ValueError, match="contiguous"):
            weights.read("abc", 0, np.empty(4, np.float32)[::2])


def test_several_threads_read_one_file(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.randn(501, 13).to(dtype) for i, dtype in enumerate([torch.float32, torch.bfloat16] * 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    weights = open_folder(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(tensors, pool.map(lambda name: read(weights, name, chunk=97), tensors), strict=True))
    assert all(np.array_equal(found[name], tensor.float().numpy()) for name, tensor in tensors.items())


def test_a_closed_file_is_not_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(4)}, tmp_path / "a.safetensors")
    with SafetensorsFile(tmp_path / "a.safetensors") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        file.raw("a")


def test_a_file_that_is_cut_while_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(400)}, path)
    file = SafetensorsFile(path)
    with path.open("r+b") as opened:
        opened.truncate(300)
    with pytest.raises(UsageError, match="became shorter"):
        file.raw("a")


def test_reading_loads_no_torch(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    code = (
        "import sys, pathlib, numpy as np\n"
        "from compute.weights import compact, completed, memory, safetensors_files, vocabulary, writing\n"
        f"safetensors_files.open_folder(pathlib.Path({str(tmp_path)!r})).read('a', 0, np.empty(4, np.float32))\n"
        "memory.InMemory({'a': np.zeros(3)}).raw('a')\n"
        "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def entry(begin: object = 0, end: object = 4, dtype: object = "F32", shape: object = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [1] if shape is None else shape, "data_offsets": [begin, end]}


HOSTILE = {
    "overlap": {"a": entry(), "b": entry()},
    "gap": {"a": entry(0, 4), "b": entry(8, 12)},
    "negative": {"a": entry(-4, 0)},
    "negative shape": {"a": entry(0, 4, shape=[-1, -1])},
    "backwards": {"a": entry(4, 0)},
    "beyond": {"a": entry(0, 1 << 62, shape=[1 << 60])},
    "overflow": {"a": entry(0, 4, shape=[1 << 40, 1 << 40, 1 << 40])},
    "fraction": {"a": entry(0, 4, shape=[1.0])},
    "true": {"a": entry(0, 4, shape=[True])},
    "dtype": {"a": entry(dtype="F8_E4M3")},
    "no dtype": {"a": entry(dtype=3)},
    "three offsets": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2, 4]}},
    "no dict": {"a": 3},
    "list": [1],
    "metadata": {"__metadata__": {"a": 1}, "a": entry()},
    "metadata list": {"__metadata__": [], "a": entry()},
    "too little": {"a": entry(0, 2, "F16")},
}


def refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=path.name):
        SafetensorsFile(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 300_000  # KiB


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_refused(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    refused(tmp_path / "model.safetensors", len(text).to_bytes(8, "little") + text + bytes(4))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 16,
        (99_999_999).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"\xff\xff",
        (4).to_bytes(8, "little") + b"nope",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (9_000).to_bytes(8, "little") + b"1" * 9_000,
        (31).to_bytes(8, "little") + b'{"a":{"dtype":"F32"},"a":{"b":1}'[:31],
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "model.safetensors", content)


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    one = json.dumps(entry())
    text = f'{{"a": {one}, "a": {one}}}'.encode()
    refused(tmp_path / "model.safetensors", len(text).to_bytes(8, "little") + text + bytes(4))


def test_a_header_of_a_huge_sparse_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((1 << 34).to_bytes(8, "little"))
        file.truncate(1 << 35)
    with pytest.raises(UsageError, match="header"):
        SafetensorsFile(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.zeros(2)}, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        refused(path, whole[:size])
    refused(path, whole + b"\0")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(UsageError, match=r"model\.safetensors cannot be read: Is a directory"):
        open_folder(tmp_path)


@pytest.mark.parametrize("odd", [torch.eye(2).to_sparse(), torch.empty(2, device="meta")], ids=["sparse", "meta"])
def test_pickled_tensors_without_plain_numbers(tmp_path: Path, odd: torch.Tensor) -> None:
    torch.save({"plain": torch.ones(2), "odd": odd}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="tensor 'odd' is sparse, quantised or without numbers"):
        open_folder(tmp_path)
