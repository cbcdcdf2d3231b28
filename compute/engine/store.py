"""The store under `cache/`: whole results or none.

results/ab/<key>/<trace>/        payload and record.json; the record, written last, commits
failures/<key>.json              the last failure of a cell, until it succeeds
quarantine/                      damaged results, never served
tmp/                             results being written
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from compute.engine import codec, files
from compute.engine.record import Record
from compute.errors import RecountError

RECORD = "record.json"

COSTLY = 1.0
"""Seconds. What took longer is flushed to the disk; the rest is computed again sooner than it is flushed, for
should the machine go down, the digests tell which results were written in part."""


class DamagedResult(RecountError):  # noqa: N818 - it says what was found, as KeyboardInterrupt does
    """A stored result does not have the bytes that its record promises."""


@dataclass(frozen=True)
class Failure:
    """A cell's last failure."""

    key: str
    name: str
    trace: str
    error: str
    traceback: str
    attempts: int
    when: str


class Stamp(NamedTuple):
    """A committed result, told from all others."""

    key: str
    trace: str
    digest: str


class Store:
    """The folder `cache/` as an object."""

    def __init__(self, root: Path, remembered: files.Remembered | None = None) -> None:
        self.root = root
        self._remembered = remembered or files.Remembered()
        self._results = str(root / "results")

    # -- results ---------------------------------------------------------------------------------

    def stamp(self, key: str, trace: str) -> Stamp | None:
        """Return what tells the result committed for (key, trace), or None; its record is read only if unknown."""
        path = f"{self._results}/{key[:2]}/{key}/{trace}/{RECORD}"
        try:
            found = self._remembered.of(path, _stamp, settled=0)
        except (FileNotFoundError, ValueError):
            return None
        return Stamp(*found) if found[:2] == [key, trace] else None

    def find(self, key: str, trace: str) -> Record | None:
        """Return the record of the result committed for (key, trace), or None; a damaged record is none."""
        try:
            record = Record.from_json((self.folder(key, trace) / RECORD).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record if (record.key, record.trace.id) == (key, trace) else None

    def record(self, stamp: Stamp) -> Record:
        """Return the record behind a stamp; DamagedResult if it is gone or no longer whole."""
        record = self.find(stamp.key, stamp.trace)
        if record is None:
            raise DamagedResult(f"the result {stamp.key[:12]} is gone; build again to recompute it")
        return record

    def folder(self, key: str, trace: str) -> Path:
        """Return where the result for (key, trace) lies or would lie."""
        return self._folder(key) / trace

    def load(self, record: Record) -> Any:
        """Read a result, after its bytes were compared with the digest in its record.

        A result that differs is moved to quarantine and DamagedResult raised: it is never served.
        """
        folder = self.folder(record.key, record.trace.id)
        try:
            sound = _digests(folder) == record.files
        except OSError:
            sound = False
        if sound:
            return codec.read(folder)
        present = self.find(record.key, record.trace.id)
        if present in (None, record):  # else it was replaced, which is no damage
            self._quarantine(folder)
        raise DamagedResult(
            f"{record.name}: stored result {record.key[:12]} was damaged and is set aside under "
            f"{self.root.name}/quarantine; build again to recompute it"
        )

    def commit(self, record: Record, value: object, *, anew: bool = False) -> Record:
        """Write a result and its record, filled in with digest, size and files; all of it or nothing.

        If the same (key, trace) was committed meanwhile, that one stays, but for *anew*.
        """
        part = self.scratch()
        try:
            codec.write(value, part)
            return self._finish(part, _measured(record, part), anew=anew)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def adopt(self, part: Path, record: Record) -> Record:
        """Take a result made elsewhere, whose payload lies in the temporary folder *part* (see `scratch`).

        DamagedResult if its bytes are not those that the record promises: nothing of it is kept then.
        """
        try:
            if _digests(part) != record.files:
                raise DamagedResult(f"{record.name}: the bytes of result {record.key[:12]} are not those of its record")
            return self._finish(part, record)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _finish(self, part: Path, record: Record, *, anew: bool = False) -> Record:
        (part / RECORD).write_text(record.to_json(), encoding="utf-8")
        if record.cost.seconds > COSTLY:
            _flush(part)
        return self._publish(part, record, anew=anew)

    def _publish(self, part: Path, record: Record, *, anew: bool) -> Record:
        """Move a finished folder into place: one rename, after which the result exists."""
        target = self.folder(record.key, record.trace.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.rename(target)
        except OSError:
            if not target.exists():
                raise
            present = self.find(record.key, record.trace.id)
            if present and not anew:
                return present
            self._discard(target)
            part.rename(target)
        return record

    def _discard(self, folder: Path) -> None:
        old = self._temporary()
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def others(self, key: str) -> list[Record]:
        """Return the results of *key* under any trace, the newest last."""
        return sorted(_records(self._folder(key).glob(f"*/{RECORD}")), key=lambda item: item.when)

    def all(self, function: str | None = None) -> Iterator[Record]:
        """Walk all records, or those of one cell function."""
        found = _records((self.root / "results").glob(f"*/*/*/{RECORD}"))
        return (record for record in found if function in (None, record.function))

    def _folder(self, key: str) -> Path:
        return self.root / "results" / key[:2] / key

    # -- failures --------------------------------------------------------------------------------

    def failure(self, key: str) -> Failure | None:
        """Return the last failure of *key*, if it has not succeeded since."""
        try:
            return Failure(**json.loads(self._failure(key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def fail(self, failure: Failure) -> Failure:
        """Keep a failure, counting the attempts."""
        before = self.failure(failure.key)
        failure = replace(failure, attempts=(before.attempts if before else 0) + 1)
        with suppress(OSError):  # on a full disk it is still told, if not kept
            files.write_atomically(self._failure(failure.key), json.dumps(asdict(failure), indent=1).encode())
        return failure

    def forget_failure(self, key: str) -> None:
        """Drop what is kept of a failure: the cell has succeeded."""
        self._failure(key).unlink(missing_ok=True)

    def _failure(self, key: str) -> Path:
        return self.root / "failures" / f"{key}.json"

    # -- temporary folders -----------------------------------------------------------------------

    def scratch(self) -> Path:
        """Make a temporary folder on the store's own file system."""
        part = self._temporary()
        part.mkdir(parents=True)
        return part

    def sweep(self) -> int:
        """Remove what processes of this machine that no longer live have left behind; return how many."""
        parts = (self.root / "tmp").glob(f"{_machine()}-*")
        left = [part for part in parts if not _alive(part.name.split("-")[1])]
        for part in left:
            shutil.rmtree(part, ignore_errors=True)
        return len(left)

    def _temporary(self) -> Path:
        return self.root / "tmp" / f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"

    def _quarantine(self, folder: Path) -> None:
        aside = self.root / "quarantine" / f"{folder.parent.name[:12]}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            folder.rename(aside)


def _stamp(path: Path) -> list[str]:
    record = Record.from_json(path.read_bytes())
    return [record.key, record.trace.id, record.digest]


def _measured(record: Record, folder: Path) -> Record:
    digests = _digests(folder)
    whole = sha256("\n".join(f"{name} {digest}" for name, digest in sorted(digests.items())).encode())
    size = sum((folder / name).stat().st_size for name in digests)
    return replace(record, files=digests, digest=whole.hexdigest(), size=size)


def _digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every payload file by its name relative to *folder*."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / RECORD]
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}


def _records(paths: Iterator[Path]) -> Iterator[Record]:
    for path in paths:
        try:
            yield Record.from_json(path.read_bytes())
        except (OSError, ValueError):
            continue


def _flush(folder: Path) -> None:
    """Have the bytes on the disk before the rename that makes them a result."""
    for path in [*(item for item in folder.rglob("*") if item.is_file()), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _machine() -> str:
    """Tell this machine from others that share the folder, without its name."""
    return sha256(platform.node().encode()).hexdigest()[:8]


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
