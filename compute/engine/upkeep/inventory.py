"""What lies in a store, with ages and bytes: results, and all that came about beside them.

Knows the folders of the store; what of it is wanted, others know.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.engine.record import JOBLIB, SCHEMA, Record
from compute.engine.storage.scratch import Scratch
from compute.engine.store import RECORD

Inode = tuple[int, int]


@dataclass(frozen=True)
class File:
    """A file on the disk: names that share its inode are the same bytes."""

    inode: Inode
    size: int
    """Bytes that it takes on the disk."""
    links: int
    path: Path


@dataclass(frozen=True)
class Item:
    """Something beside the results: a failure, a damaged result, an object, a text, a build."""

    kind: str
    path: Path
    size: int
    when: datetime

    def remove(self, scratch: Scratch) -> None:
        """Remove it; a folder by way of *scratch*."""
        if self.path.is_dir():
            _discard(self.path, scratch)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    """One result on the disk."""

    key: str
    trace: str
    name: str
    function: str
    when: datetime
    """When it was made or, if later, vouched for."""
    code: frozenset[str]
    """Hashes of the definitions that made it."""
    files: tuple[File, ...]
    folder: Path

    @property
    def id(self) -> tuple[str, str]:
        """Key and trace, which tell it from all others."""
        return self.key, self.trace


@dataclass(frozen=True)
class Removal:
    """A result that goes, with what goes along."""

    entry: Entry
    size: int
    """Bytes that this sets free: those that nothing else shares."""
    objects: tuple[Path, ...]
    """Shared files that nothing will refer to."""

    def carry_out(self, scratch: Scratch) -> None:
        """Remove it, by way of *scratch*, so that a reader finds all of it or nothing."""
        _discard(self.entry.folder, scratch)
        for path in self.objects:
            with suppress(FileNotFoundError):
                if path.stat().st_nlink == 1:
                    path.unlink()


class Inventory:
    """All that a store holds, as it was when this was made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results: list[Entry] = []
        """Those of this version of the tool, and damaged ones."""
        self.foreign: list[Entry] = []
        """Those of other versions and of joblib's functions: whether they are wanted is not ours to say."""
        self._objects = {file.inode: file for file in _files(root / "objects")}
        for folder in sorted((root / "results").glob("*/*/*")):
            self._add(folder)
        held = Counter(file.inode for entry in self.everything for file in entry.files)
        self._links = {file.inode: self._outside(file) for entry in self.everything for file in entry.files}
        self._links = {inode: max(links, held[inode]) for inode, links in self._links.items()}

    @property
    def everything(self) -> list[Entry]:
        """All results."""
        return [*self.results, *self.foreign]

    @property
    def size(self) -> int:
        """Bytes that the store takes on the disk; what is linked twice counts once."""
        return sum({file.inode: file.size for file in _files(self.root)}.values())

    def _outside(self, file: File) -> int:
        """Return how many links a file has but for that among the objects."""
        return file.links - (file.inode in self._objects)

    def _add(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        path = folder / RECORD
        found, own = _read(path)
        entry = Entry(
            key=folder.parent.name,
            trace=folder.name,
            name=str(found.get("name", folder.parent.name[:12])),
            function=str(found.get("function", "(damaged)")),
            when=_when(found, path if path.exists() else folder),
            code=frozenset(_code(found)),
            files=tuple(_files(folder)),
            folder=folder,
        )
        (self.results if own else self.foreign).append(entry)

    def release(self, entry: Entry) -> Removal:
        """Let go of a result; what it shares with others is set free by the last of them."""
        size, objects = 0, []
        for file in entry.files:
            self._links[file.inode] -= 1
            if not self._links[file.inode]:
                size += file.size
                if file.inode in self._objects:
                    objects.append(self._objects[file.inode].path)
        return Removal(entry, size, tuple(objects))

    # -- beside the results ----------------------------------------------------------------------

    def item(self, kind: str, path: Path) -> Item:
        """Describe a file or folder; it frees the bytes that nothing else shares."""
        files = list(_files(path)) if path.is_dir() else [_file(path, path.stat())]
        return Item(kind, path, sum(file.size for file in files if file.links == 1), _changed(path))

    def failures(self) -> Iterator[Item]:
        """Walk the failures that are kept."""
        return self._items("failure", "failures/*.json")

    def quarantine(self) -> Iterator[Item]:
        """Walk the damaged results that were set aside."""
        return self._items("damaged result set aside", "quarantine/*")

    def sources(self) -> Iterator[Item]:
        """Walk the texts of definitions."""
        return self._items("source of a definition", "sources/*/*")

    def verified(self, gone: Set[tuple[str, str]]) -> Iterator[Item]:
        """Walk what is known of the verification of results that are not there, or will be *gone*."""
        there = {entry.id for entry in self.everything} - gone
        for item in self._items("verification", "verified/*/*.json"):
            if (item.path.parent.name, item.path.stem) not in there:
                yield item

    def orphans(self) -> Iterator[Item]:
        """Walk the objects that no result shares."""
        for file in self._objects.values():
            if file.links == 1:
                yield Item("object without a result", file.path, file.size, _changed(file.path))

    def _items(self, kind: str, pattern: str) -> Iterator[Item]:
        return (self.item(kind, path) for path in sorted(self.root.glob(pattern)))


def _discard(folder: Path, scratch: Scratch) -> None:
    """Take a folder away by a single rename, then delete it; the one around it goes, too, if it is left empty."""
    with suppress(FileNotFoundError):
        scratch.discard(folder)
    with suppress(OSError):
        folder.parent.rmdir()


def _files(folder: Path | str) -> Iterator[File]:
    """Walk the files below a folder; what vanishes meanwhile, and what is only a link by name, is left out."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield _file(Path(entry.path), entry.stat(follow_symlinks=False))


def _file(path: Path, stat: os.stat_result) -> File:
    size = stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size
    return File((stat.st_dev, stat.st_ino), size, stat.st_nlink, path)


def _read(path: Path) -> tuple[dict[str, Any], bool]:
    """Return what a record says, and whether it is of a cell and of this version of the tool.

    A damaged one says nothing. Those of functions under `joblib.Memory` are that user's own affair.
    """
    try:
        data = path.read_bytes()
        record = Record.from_json(data)
        return {**vars(record), "trace": vars(record.trace)}, JOBLIB not in record.arguments
    except OSError:
        return {}, True
    except ValueError:
        found = _json(data)
    foreign = isinstance(found, dict) and isinstance(found.get("schema"), int) and found["schema"] != SCHEMA
    return (found, False) if foreign else ({}, True)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _code(found: Mapping[str, Any]) -> Iterator[str]:
    trace = found.get("trace")
    code = trace.get("code") if isinstance(trace, dict) else None
    return (str(part) for part in code.values()) if isinstance(code, dict) else iter(())


def _when(found: dict[str, Any], path: Path) -> datetime:
    """Return when a result was made or vouched for; by the file where its record does not say."""
    accepted = found.get("accepted")
    said = [found.get("when"), accepted.get("when") if isinstance(accepted, dict) else None]
    times = [time for text in said if isinstance(text, str) and (time := _time(text))]
    return max(times) if times else _changed(path)


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _changed(path: Path) -> datetime:
    """Return when a file was written or, if later, moved to its place."""
    stat = os.stat(path)  # noqa: PTH116 - one call for both times
    return datetime.fromtimestamp(max(stat.st_mtime, stat.st_ctime), UTC)
