"""Safetensors files and model folders, read piece by piece without mapping them. Knows no models and no merging."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.weights.dtypes import BLOCK, stored, to_float
from compute.weights.header import read_header
from compute.weights.weights import TensorInfo, Weights, check_piece, find

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class SafetensorsFile:
    """One safetensors file: the header is checked at once, entries are read where they lie.

    Raises UsageError, naming the file, where it cannot be opened or its header is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        try:
            header = read_header(self._descriptor, path)
        except OSError as error:  # a folder opens like a file
            self.close()
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except BaseException:
            self.close()
            raise
        self.metadata: Mapping[str, str] = header.metadata
        self._infos, self._offsets = header.tensors, header.offsets

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the tensors as they follow one another in the file."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on.

        What is stored as *out* needs it is read straight into it; all else goes through one small buffer.
        """
        info = find(self._infos, name)
        check_piece(info, start, out)
        storage = stored(info.dtype).storage
        offset = self._offsets[name] + start * storage.itemsize
        if storage == out.dtype:
            self._fill(out.view(np.uint8), offset)
            return
        buffer = np.empty(min(BLOCK, len(out)), storage)
        for begin in range(0, len(out), BLOCK):
            piece = out[begin : begin + BLOCK]
            bits = buffer[: len(piece)]
            self._fill(bits.view(np.uint8), offset + begin * storage.itemsize)
            to_float(bits, info.dtype, piece)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Read the bytes of a whole tensor."""
        raw = np.empty(find(self._infos, name).nbytes, np.uint8)
        self._fill(raw, self._offsets[name])
        return raw

    def close(self) -> None:
        """Close the file; reading from it then raises ValueError."""
        self._descriptor = -1
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, buffer: NDArray[np.uint8], offset: int) -> None:
        if self._descriptor < 0:
            raise ValueError(f"{self.path} is closed")
        while buffer.size:
            count = os.preadv(self._descriptor, [buffer.data], offset)
            if not count:
                raise UsageError(f"{self.path} became shorter while it was read: fetch or write it again")
            buffer, offset = buffer[count:], offset + count


class ModelFolder:
    """The weights of a model folder, whichever files hold them.

    *files* are those files (an index first), *aliases* the names that a pickle gave to a tensor that has another name
    already (tied weights), each to that name.
    """

    def __init__(
        self, files: tuple[Path, ...], holders: Mapping[str, Weights], aliases: Mapping[str, str] | None = None
    ) -> None:
        self.files = files
        self.aliases: Mapping[str, str] = aliases or {}
        self._holders = holders
        self._infos = {name: holder.tensors()[name] for name, holder in holders.items()}

    def tensors(self) -> Mapping[str, TensorInfo]:
        """List the tensors file by file, as they follow one another there."""
        return self._infos

    def read(self, name: str, start: int, out: NDArray[Any]) -> None:
        """Fill *out* [n], float32 or float64, with the flattened entries from *start* on."""
        find(self._infos, name)
        self._holders[name].read(name, start, out)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Read the bytes of a whole tensor."""
        find(self._infos, name)
        return self._holders[name].raw(name)


def open_folder(folder: Path) -> ModelFolder:
    """Open the weights of a model folder: safetensors where there are any, else pickles of torch (pytorch_model.bin).

    Raises UsageError where the folder holds neither, or where a file is missing, damaged or not safe to load.
    """
    if (folder / SINGLE).exists():
        file = SafetensorsFile(folder / SINGLE)
        return ModelFolder((file.path,), dict.fromkeys(file.tensors(), file))
    if (folder / INDEX).exists():
        return _open_shards(folder)
    from compute.weights import torch_files

    if (found := torch_files.open_pickles(folder)) is not None:
        return found
    what = "is no folder" if not folder.is_dir() else "holds no weights"
    raise UsageError(f"{folder} {what}: expected {SINGLE}, {INDEX}, {torch_files.SINGLE} or {torch_files.INDEX} in it")


def read_index(path: Path) -> dict[str, list[str]]:
    """Read which tensors lie in which shard, by the shard's name; raises UsageError where the index is damaged."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no index of shards ({error}): fetch or write it again") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise UsageError(f"{path}: expected a weight_map of tensor names to shards: fetch or write it again")
    shards: dict[str, list[str]] = {}
    for name, shard in places.items():
        if shard in ("", ".", "..") or "\0" in shard or Path(shard).name != shard:
            raise UsageError(f"{path}: shard {shard!r} is no name of a file beside it")
        shards.setdefault(shard, []).append(name)
    if missing := sorted(shard for shard in shards if not (path.parent / shard).is_file()):
        raise UsageError(f"{path} names shards that are missing: {', '.join(missing)}; fetch or write them again")
    return {shard: shards[shard] for shard in sorted(shards)}


def check_shard(index: Path, shard: Path, named: list[str], held: Mapping[str, object]) -> None:
    """Refuse, by UsageError, a shard that lacks a tensor which the index says it holds."""
    if missing := [name for name in named if name not in held]:
        raise UsageError(
            f"{index}: {shard.name} does not hold {missing[0]!r} as the index says (and {len(missing) - 1} more)"
        )


def _open_shards(folder: Path) -> ModelFolder:
    holders: dict[str, Weights] = {}
    shards = read_index(folder / INDEX)
    for shard, named in shards.items():
        file = SafetensorsFile(folder / shard)
        check_shard(folder / INDEX, file.path, named, file.tensors())
        wanted = set(named)
        holders |= {name: file for name in file.tensors() if name in wanted}
    return ModelFolder((folder / INDEX, *(folder / shard for shard in shards)), holders)
