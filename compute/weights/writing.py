"""Safetensors files of a model folder, written piece by piece and there only when whole. Knows no models."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compute.errors import RecountError, UsageError
from compute.weights.dtypes import BLOCK, from_float, stored
from compute.weights.header import write_header
from compute.weights.progress import Progress
from compute.weights.safetensors_files import INDEX, SINGLE
from compute.weights.weights import TensorInfo, by_name, check_piece, check_raw, find, layout


class SafetensorsSink:
    """Writes a model's weights into *folder*, which is made where it does not exist.

    They become `model.safetensors`; or, where they take more than *shard_size* bytes, shards of at most that size and
    an index. A tensor is never split, and tensors fill the shards in their given order. *metadata* goes into each
    file's header, beside the format "pt" that transformers asks for.

    Until `close` the files have temporary names beside the final ones. As a context manager it closes at the end, and
    takes the temporary files away where the block raised. Threads that write must be done before `close`.

    Raises UsageError where the folder has weights already or cannot be written, and RecountError where the disk is
    full: as soon as the sink is made, where the file system can reserve space.
    """

    def __init__(
        self,
        folder: Path,
        infos: Iterable[TensorInfo],
        metadata: Mapping[str, str],
        shard_size: int | None = None,
        *,
        durable: bool = False,
    ) -> None:
        self.folder = folder
        self.durable = durable
        self._infos = by_name(infos)
        self._progress = Progress(self._infos)
        self._bytes = sum(info.nbytes for info in self._infos.values())
        self._closed = False
        shards = split(self._infos.values(), shard_size)
        self._final = dict(zip(_names(len(shards)), shards, strict=True))
        self._partial: dict[str, Path] = {}
        self._descriptors: dict[str, int] = {}
        self._places: dict[str, tuple[int, int]] = {}
        _check_free(folder)
        try:
            with self._told():
                for name, held in self._final.items():
                    self._begin(name, held, {"format": "pt", **metadata})
        except BaseException:
            self.abort()
            raise

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write flattened float32 or float64 entries from *start* on, rounded to the nearest of the tensor's dtype."""
        info = find(self._infos, name)
        check_piece(info, start, values)
        storage = stored(info.dtype).storage
        offset = start * storage.itemsize
        if storage == values.dtype:
            self._pour(name, values.view(np.uint8), offset)
        else:
            buffer = np.empty(min(BLOCK, len(values)), storage)
            for begin in range(0, len(values), BLOCK):
                piece = values[begin : begin + BLOCK]
                from_float(piece, info.dtype, buffer[: len(piece)])
                self._pour(name, buffer[: len(piece)].view(np.uint8), offset + begin * storage.itemsize)
        self._progress.add(name, len(values))

    def put(self, name: str, raw: NDArray[np.uint8]) -> None:
        """Write the bytes of a whole tensor."""
        info = find(self._infos, name)
        check_raw(info, raw)
        self._pour(name, np.ascontiguousarray(raw), 0)
        self._progress.add(name, info.size)

    def close(self) -> None:
        """Give the files their names, an index last; if *durable*, once everything is on the disk.

        Raises ValueError where entries are missing; the result then does not exist.
        """
        if self._closed:
            return
        try:
            self._progress.finish()
            with self._told():
                self._finish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Take the temporary files away; nothing of the result exists. Does nothing after `close`."""
        self._closed = True
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        for path in self._partial.values():
            with suppress(OSError):  # what matters is that no final name exists
                path.unlink(missing_ok=True)
        self._partial.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _begin(self, name: str, infos: list[TensorInfo], metadata: Mapping[str, str]) -> None:
        header = write_header(infos, metadata)
        descriptor = self._create(name)
        size = len(header) + sum(info.nbytes for info in infos)
        _reserve(descriptor, size)
        _write_all(descriptor, memoryview(header), 0)
        for tensor, (begin, _) in layout(infos).items():
            self._places[tensor] = (descriptor, len(header) + begin)

    def _create(self, name: str) -> int:
        path = self.folder / f".{name}.{secrets.token_hex(4)}.partial"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._partial[name], self._descriptors[name] = path, descriptor
        return descriptor

    def _pour(self, name: str, raw: NDArray[np.uint8], offset: int) -> None:
        if self._closed:
            raise ValueError(f"{name}: this sink is closed")
        descriptor, begin = self._places[name]
        with self._told():
            _write_all(descriptor, raw.data, begin + offset)

    def _finish(self) -> None:
        if len(self._final) > 1:
            self._write_index()
        if self.durable:
            for descriptor in self._descriptors.values():
                os.fsync(descriptor)
        self._rename()
        if self.durable:
            _sync_folder(self.folder)

    def _rename(self) -> None:
        done: list[Path] = []
        try:
            for name, path in self._partial.items():
                done.append(path.rename(self.folder / name))
        except OSError:
            for path in done:
                path.unlink(missing_ok=True)
            raise
        self._partial.clear()

    def _write_index(self) -> None:
        places = {info.name: shard for shard, infos in self._final.items() for info in infos}
        index = {"metadata": {"total_size": self._bytes}, "weight_map": dict(sorted(places.items()))}
        _write_all(self._create(INDEX), memoryview((json.dumps(index, indent=2) + "\n").encode()), 0)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell of a full disk in a sentence."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise RecountError(
                f"{self.folder}: no room for the weights, which take {self._bytes:,} bytes ({error.strerror}): "
                "nothing was written; make room or choose another place"
            ) from error


def split(infos: Iterable[TensorInfo], shard_size: int | None) -> list[list[TensorInfo]]:
    """Divide tensors into shards of at most *shard_size* bytes, in order; a larger tensor is a shard of its own."""
    shards: list[list[TensorInfo]] = [[]]
    filled = 0
    for info in infos:
        if shards[-1] and shard_size is not None and filled + info.nbytes > shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(info)
        filled += info.nbytes
    return shards


def _names(count: int) -> list[str]:
    if count == 1:
        return [SINGLE]
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def _check_free(folder: Path) -> None:
    """Make *folder*, and refuse one with weights: two sets of them would leave open which count."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}; choose another place") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written: choose another place")
    if there := sorted([*folder.glob("model*.safetensors"), *folder.glob(INDEX)]):
        raise UsageError(f"{folder} has weights already ({there[0].name}): remove them or choose another place")


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its size, and have the room for it where the file system can promise that."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.ftruncate(descriptor, size)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
