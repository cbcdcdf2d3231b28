"""Results at an fsspec URL, such as s3://bucket/folder: whole results or none.

results/ab/<key>/<trace>/record.json   the record, written last: it commits
objects/ab/<sha256>                    the payload's files by their content, each once

A payload's file is known by its digest alone. So two that write the same result at a time cannot mix their
files, and one listing of `results/` tells all that is there.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from compute.engine import files
from compute.engine.record import Record
from compute.engine.remotes.shelf import Id
from compute.engine.storage import codec
from compute.engine.store import RECORD, DamagedResult, Store
from compute.errors import RecountError, UsageError

_RESULT = re.compile(r"(?:^|/)results/[0-9a-f]{2}/([0-9a-f]{64})/([0-9a-f]{16})/record\.json$")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHANGES = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created")
"""What file systems tell of a file that changes when it is written again."""


class Unreachable(RecountError):  # noqa: N818 - it says what was found, as KeyboardInterrupt does
    """A store elsewhere does not answer, or refuses."""


class Remote:
    """The results at a URL; *options* go to fsspec, which also reads its own settings and environment."""

    def __init__(self, url: str, **options: Any) -> None:
        check(url)
        self.address = url.rstrip("/")
        self._options = options
        self._turn = threading.RLock()
        """Held to ask a file system that is not asynchronous: those promise nothing to threads."""

    def results(self) -> dict[Id, str]:
        """Return every result that is there, with what changes when its record is written again; "" if unknown."""
        with self._asking():
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(f"{self._base}/results", detail=True)
            except FileNotFoundError as error:
                raise UsageError(f"nothing at {self.address}: {_line(error)}; check the address") from error
            self._fs.invalidate_cache()
        matched = ((_RESULT.search(path), info) for path, info in found.items())
        return {(match[1], match[2]): _change(info) for match, info in matched if match}

    def records(self, results: Iterable[Id]) -> dict[Id, Record]:
        """Return the records of those *results* that are there; one that is damaged or not its own is not."""
        paths = {self._record(*result): result for result in results}
        if not paths:
            return {}
        with self._asking():
            found = self._fs.cat(list(paths), on_error="return")
        read = ((paths[path], self._parsed(found[path])) for path in paths if path in found)
        return {result: record for result, record in read if record and (record.key, record.trace.id) == result}

    def get(self, record: Record, into: Store) -> int:
        """Fetch a result into a store on this machine, each file compared with its digest; return its bytes.

        DamagedResult, naming the file, for other bytes than the record promises: nothing is kept then.
        """
        names = _names(record)
        part = into.scratch()
        try:
            for name in names:
                self._fetch(record, name, part / name)
            into.adopt(part, record)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return record.size

    def put(self, record: Record, source: Store, *, replace: bool = False) -> int:
        """Send a result, the record last, and return how many bytes were written.

        A file that is there with the same size is not sent again, but where *replace* says so. DamagedResult
        for bytes here that are not those of the record: they are not sent.
        """
        folder, written = source.folder(record.key, record.trace.id), 0
        for name in _names(record):
            written += self._send(record, name, folder / name, replace=replace)
        part = source.scratch()
        try:
            (part / RECORD).write_text(record.to_json(), encoding="utf-8")
            self._write(part / RECORD, self._record(record.key, record.trace.id))
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return written

    # -- one file --------------------------------------------------------------------------------

    def _fetch(self, record: Record, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = self._object(record.files[name])
        try:
            with self._asking():
                self._fs.get_file(there, str(path))
        except FileNotFoundError:
            found = "is missing"
        else:
            if files.sha256(path) == record.files[name]:
                return
            found = "does not have the bytes that its record promises"
        raise DamagedResult(
            f"{record.name}: {name} of result {record.key[:12]} {found} at {self.address} "
            f"(objects/{there.rpartition('/objects/')[2]}); push it there again with --force, or build to recompute it"
        )

    def _send(self, record: Record, name: str, path: Path, *, replace: bool) -> int:
        try:
            sound, size = files.sha256(path) == record.files[name], path.stat().st_size
        except OSError:
            sound, size = False, 0
        if not sound:
            raise DamagedResult(f"{record.name}: {name} of result {record.key[:12]} does not have the bytes that its "
                                "record promises, and was not sent; build again to recompute it")  # fmt: skip
        there = self._object(record.files[name])
        with self._asking():
            if not replace and self._size(there) == size:
                return 0
        self._write(path, there)
        return size

    def _write(self, path: Path, there: str) -> None:
        with self._asking():
            try:
                self._fs.put_file(str(path), there)
            except FileNotFoundError as error:
                raise UsageError(f"nothing at {self.address}: {_line(error)}; check the address") from error

    def _size(self, path: str) -> int | None:
        try:
            size: int | None = self._fs.info(path)["size"]
        except FileNotFoundError:
            return None
        return size

    # -- places ----------------------------------------------------------------------------------

    def _record(self, key: str, trace: str) -> str:
        return f"{self._base}/results/{key[:2]}/{key}/{trace}/{RECORD}"

    def _object(self, digest: str) -> str:
        return f"{self._base}/objects/{digest[:2]}/{digest}"

    def _parsed(self, data: bytes | Exception) -> Record | None:
        if isinstance(data, FileNotFoundError):
            return None
        if isinstance(data, Exception):
            with self._asking():
                raise data
        try:
            return Record.from_json(data)
        except ValueError:
            return None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            fs, base = url_to_fs(self.address, **self._options)
        except ImportError as error:
            raise UsageError(f"{self.address}: {_line(error)}; s3:// needs pip install 'recount[s3]'") from error
        except ValueError as error:
            raise UsageError(f"{self.address} is no address of a store: {_line(error)}") from error
        return fs, base.rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    @property
    def _base(self) -> str:
        return self._opened[1]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what a file system raises, each its own errors, into ours; that a file is missing stays."""
        try:
            with self._turn if not self._fs.async_impl else nullcontext():
                yield
        except (RecountError, FileNotFoundError):
            raise
        except Exception as error:
            raise Unreachable(
                f"the store {self.address} does not answer or refuses: {_line(error)}; "
                "check the address, the network and the credentials, then run the same command again"
            ) from error


def check(url: str) -> None:
    """Refuse a URL that holds a password or a signature: it is kept and shown; they come from the environment."""
    parts = urlsplit(url)
    if parts.password is not None or parts.query:
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise UsageError(f"the address {shown}… holds a password or a query: give these by the environment instead")


def _names(record: Record) -> list[str]:
    """Return the names of a result's files; DamagedResult for one that would lie anywhere but in its folder."""
    for name, digest in record.files.items():
        steps = name.split("/")
        inside = not ("\\" in name or "\0" in name or {"", ".", ".."} & set(steps) or PureWindowsPath(name).drive)
        if not inside or name == RECORD or not _DIGEST.fullmatch(digest):
            raise DamagedResult(f"{record.name}: the record {record.key[:12]} names a file {name!r}, and is refused")
    if codec.DOCUMENT not in record.files:
        raise DamagedResult(f"{record.name}: the record {record.key[:12]} names no {codec.DOCUMENT}, and is refused")
    return sorted(record.files)


def _change(info: dict[str, Any]) -> str:
    found = [str(info[name]) for name in _CHANGES if info.get(name)]
    return f"{info.get('size')} {' '.join(found)}" if found else ""


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"
