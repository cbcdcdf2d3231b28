"""The store under `cache/`: whole results or none.

results/ab/<key>/<trace>/        payload and record.json; the record, written last, commits
objects/ab/<sha256>              the large files among the payloads, each once (see `objects`)
failures/<key>.json              the last failure of a cell, until it succeeds (see `failures`)
quarantine/                      damaged results, never served
tmp/                             results being written (see `scratch`)

A result is written to tmp/, digested, and renamed into place. Should the machine go down, the digests tell
which results were written in part. Those that took longer than COSTLY are flushed to the disk before the
rename, at some milliseconds a file; the rest is computed again sooner than it is flushed.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from compute.engine import files
from compute.engine.record import Record
from compute.engine.storage import codec, objects
from compute.engine.storage.failures import Failure, Failures
from compute.engine.storage.scratch import Scratch
from compute.errors import RecountError

__all__ = ["DamagedResult", "Failure", "Stamp", "Store"]

RECORD = "record.json"
COSTS = "costs"

COSTLY = 1.0
"""Seconds of computation, from which on a result is flushed to the disk before it counts."""


class DamagedResult(RecountError):  # noqa: N818 - it says what was found, as KeyboardInterrupt does
    """A stored result does not have the bytes that its record promises."""


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
        self._failures = Failures(root / "failures")
        self._scratch = Scratch(root / "tmp")

    # -- results that are there ------------------------------------------------------------------

    def stamp(self, key: str, trace: str) -> Stamp | None:
        """Return what tells the result committed for (key, trace), or None; its record is read only if unknown."""
        path = f"{self._results}/{key[:2]}/{key}/{trace}/{RECORD}"
        try:
            found = self._remembered.of(path, _stamp, COSTS, settled=0)
        except (FileNotFoundError, ValueError):
            return None
        return Stamp(*found[:3]) if found[:2] == [key, trace] else None

    def written(self, stamp: Stamp) -> list[int]:
        """Return size and time of the record behind a stamp as it was last seen: others once it is written anew."""
        path = f"{self._results}/{stamp.key[:2]}/{stamp.key}/{stamp.trace}/{RECORD}"
        return self._remembered.seen(path, COSTS)[:2]

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
        # One that was replaced meanwhile is not damaged.
        place = self._quarantine(folder, record) if present in (None, record) else "has gone since"
        raise DamagedResult(
            f"{record.name}: stored result {record.key[:12]} was damaged and {place}; build again to recompute it"
        )

    def others(self, key: str) -> list[Record]:
        """Return the results of *key* under any trace, the newest by its own word last."""
        found = _records(self._folder(key).glob(f"*/{RECORD}"))
        return sorted(found, key=lambda item: (item.when, item.trace.id))

    def all(self, function: str | None = None) -> Iterator[Record]:
        """Walk all records, or those of one cell function."""
        found = _records((self.root / "results").glob(f"*/*/*/{RECORD}"))
        return (record for record in found if function in (None, record.function))

    def costs(self) -> Iterator[tuple[str, str, float, int]]:
        """Return key, function, seconds and peak memory of the results that are remembered, the newest last.

        No file is read, but where nothing is remembered yet: then every record is, once.
        """
        known = self._remembered.known(COSTS)
        if not known:
            for path in (self.root / "results").glob(f"*/*/*/{RECORD}"):
                with suppress(OSError, ValueError):
                    self._remembered.of(path, _stamp, COSTS, settled=0)
            known = self._remembered.known(COSTS)
        return ((key, function, seconds, memory) for key, _, _, function, seconds, memory in known)

    def _folder(self, key: str) -> Path:
        return self.root / "results" / key[:2] / key

    # -- results that come and go ----------------------------------------------------------------

    def check_writable(self) -> None:
        """Raise RecountError, in one line, where nothing can be written: better before than after computing."""
        try:
            self.scratch().rmdir()
        except OSError as error:
            raise RecountError(
                f"{self.root.name}/ cannot be written ({error.strerror}), so no result could be kept; "
                "make it writable, or choose another cache folder"
            ) from error

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

    def remove(self, record: Record) -> None:
        """Delete a result; nothing happens if it is gone. Its objects stay, for others may be about to link them."""
        with suppress(FileNotFoundError):
            self._scratch.discard(self.folder(record.key, record.trace.id))

    def _finish(self, part: Path, record: Record, *, anew: bool = False) -> Record:
        objects.share(self.root, part, record.files)
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
                target.parent.mkdir(parents=True, exist_ok=True)  # it may have been swept, as it was empty
                part.rename(target)
                return record
            present = self.find(record.key, record.trace.id)
            if present and not anew:
                return present
            self._scratch.discard(target)
            part.rename(target)
        return record

    def _quarantine(self, folder: Path, record: Record) -> str:
        """Set a damaged result aside, and see that no other takes its damaged files for its own; say what was done."""
        aside = self.root / "quarantine" / f"{folder.parent.name[:12]}-{uuid.uuid4().hex[:8]}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                folder.rename(aside)
            objects.drop_damaged(self.root, record.files.values())
        except OSError as error:
            return f"cannot be set aside ({error.strerror})"
        return f"is set aside under {self.root.name}/quarantine"

    # -- failures and temporary folders ----------------------------------------------------------

    def failure(self, key: str) -> Failure | None:
        """Return the last failure of *key*, if it has not succeeded since."""
        return self._failures.find(key)

    def fail(self, failure: Failure) -> Failure:
        """Keep a failure, counting the attempts."""
        return self._failures.keep(failure)

    def forget_failure(self, key: str) -> None:
        """Drop what is kept of a failure: the cell has succeeded."""
        self._failures.forget(key)

    def scratch(self) -> Path:
        """Make a temporary folder on the store's own file system."""
        return self._scratch.make()

    def sweep(self) -> int:
        """Remove what processes of this machine that no longer live have left behind; return how many."""
        return self._scratch.sweep()


def _stamp(path: Path) -> list[Any]:
    """Read what is remembered of a record: its stamp, and what it cost (see `Store.costs`)."""
    record = Record.from_json(path.read_bytes())
    return [record.key, record.trace.id, record.digest, record.function, record.cost.seconds, record.cost.peak_memory]


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
