"""Digests of files, remembered by stat so that an unchanged gigabyte is not read twice."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from compute.engine.privacy import redacted
from compute.errors import UsageError

T = TypeVar("T")

SETTLED = 2.0
"""Seconds. A younger file may be written again without its stat telling: their clocks are coarse."""


class Remembered:
    """A JSON file of what was worked out for other files, valid while their stat stays the same."""

    def __init__(self, index: Path | None = None) -> None:
        self.index = index
        self.entries: dict[str, Any] = read_json(index) if index else {}
        self._changed = False
        self._folders = [(f"{folder}{os.sep}", short) for folder, short in _near(index)] if index else []

    def _told(self, path: str) -> str:
        """Name a file in the index by its place in the cache or project: where these lie is nobody's business."""
        for folder, short in self._folders:
            if path.startswith(folder):
                return short + path[len(folder) :]
        return redacted(path) if self.index else path

    def of(self, path: Path | str, work: Callable[[Path], T], kind: str = "", settled: float = SETTLED) -> T:
        """Return what *work* gives for *path*, from memory if the file is as it was then.

        *kind* keeps apart what different work, or another version of the same, gives for one file. A file
        younger than *settled* seconds is not remembered; 0 is for those that are never written to again.
        """
        name, seen = f"{self._told(str(path))}?{kind}", stamp(path)
        match self.entries.get(name):
            case [known, value] if known == seen:
                return cast(T, value)
        found = work(Path(path))
        if not settled or time.time() - seen[1] / 1e9 > settled:
            self.entries[name] = [seen, found]
            self._changed = True
        return found

    def known(self, kind: str) -> list[Any]:
        """Return all values of one *kind*, those of the files written last in the end; no file is looked at."""
        found = [entry for name, entry in self.entries.items() if name.endswith(f"?{kind}")]
        return [value for _, value in sorted(found, key=lambda entry: entry[0][1])]

    def seen(self, path: Path | str, kind: str = "") -> list[int]:
        """Return the stat under which something is remembered for *path*; empty if nothing is."""
        match self.entries.get(f"{self._told(str(path))}?{kind}"):
            case [list(known), _]:
                return known
        return []

    def save(self) -> None:
        """Write the index if something was added; a read-only cache is no reason to fail."""
        if self.index and self._changed:
            with suppress(OSError):
                write_atomically(self.index, json.dumps(self.entries).encode())
                self._changed = False


def _near(index: Path) -> list[tuple[Path, str]]:
    """Return the cache and the project that an index belongs to, with what stands for them."""
    cache = index.parent.parent
    return [(cache, "cache:"), (cache.parent, "./")]


def read_json(path: Path) -> dict[str, Any]:
    """Read an index, or begin anew where it is missing or damaged: it can always be worked out again."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def stamp(path: Path | str) -> list[int]:
    """Return the size, the times of modification and of change (ns) and the inode of *path*."""
    stat = os.stat(path)  # noqa: PTH116 - a Path costs more than the call, and plans ask for thousands
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def write_atomically(path: Path, data: bytes) -> None:
    """Write *data* to *path* so that a reader sees the old or the new bytes, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_digests = Remembered()


def remember_in(index: Path) -> Remembered:
    """Keep the digests of input files in *index* from now on."""
    global _digests
    _digests = Remembered(index)
    return _digests


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below *folder* by its name there, but for compiled code."""
    found: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found.update({f"{place}{os.sep}{name}": "" for name in sorted(names)})
    start = len(str(folder)) + 1
    return {path[start:].replace(os.sep, "/"): _digests.of(path, sha256) for path in found}


def digest(path: Path) -> str:
    """Return the sha256 of an input file; UsageError if there is none."""
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"no file {path.name!r} at the given path: check the config's path")
    return _digests.of(path, sha256)
