"""Where results lie beside the store at work: what can be asked of any such place, and a folder as one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Protocol

from compute.engine.record import Record
from compute.engine.store import RECORD, Store

Id = tuple[str, str]
"""Key and id of the trace: what tells a result from others."""


class Shelf(Protocol):
    """Results that lie elsewhere; `remote.Remote` says what each method promises."""

    address: str

    def results(self) -> dict[Id, str]:
        """Return what is there, with what changes when a record is written again."""

    def records(self, results: Iterable[Id]) -> dict[Id, Record]:
        """Return the records of those *results* that are there and whole."""

    def get(self, record: Record, into: Store) -> int:
        """Copy a result from there, verified; return its bytes."""

    def put(self, record: Record, source: Store, *, replace: bool = False) -> int:
        """Copy a result there, verified; return the bytes written."""


class Folder:
    """Another store's folder."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.address = str(store.root)

    def results(self) -> dict[Id, str]:
        """Return what is there; the time of a folder's record tells whether it was written again."""
        found = (self.store.root / "results").glob(f"*/*/*/{RECORD}")
        return {(path.parts[-3], path.parts[-2]): str(path.stat().st_mtime_ns) for path in found}

    def records(self, results: Iterable[Id]) -> dict[Id, Record]:
        """Return the records of those *results* that are there and whole."""
        found = ((result, self.store.find(*result)) for result in results)
        return {result: record for result, record in found if record}

    def get(self, record: Record, into: Store) -> int:
        """Copy a result from there; DamagedResult, and nothing kept, if its bytes are not its record's."""
        return _copied(record, self.store, into)

    def put(self, record: Record, source: Store, *, replace: bool = False) -> int:
        """Copy a result there, in place of the one that is there if *replace* says so; return its bytes."""
        if replace:
            shutil.rmtree(self.store.folder(record.key, record.trace.id), ignore_errors=True)
        return _copied(record, source, self.store)


def _copied(record: Record, source: Store, target: Store) -> int:
    folder, part = source.folder(record.key, record.trace.id), target.scratch()
    try:
        for name in record.files:
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if (folder / name).is_file():  # else it is not there to compare, which `adopt` tells
                shutil.copyfile(folder / name, path)
        target.adopt(part, record)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record.size
