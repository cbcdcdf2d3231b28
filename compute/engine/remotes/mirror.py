"""A store on this machine with another place behind it: reads fall back to it, commits go to it too.

mirror/<id of the place>/stamps.json     the digests of results there, so that a plan reads few records
mirror/<id of the place>/unsent/         results that could not be sent, until they are
mirror/<id of the place>/damaged/        results there that were found damaged: taken for missing, until sent anew
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from compute.engine import files
from compute.engine.record import Record
from compute.engine.remotes.shelf import Id, Shelf
from compute.engine.store import DamagedResult, Stamp, Store
from compute.errors import RecountError

PATIENCE = 60.0
"""Seconds until a place that did not answer is asked again to take a result."""

AGAIN = 1.0
"""Seconds until a place that did not have a result is asked for it again: builds look more than once at a time."""


class Mirror(Store):
    """A local folder in front of a shelf. Failures, indexes and what is swept or listed whole are local."""

    def __init__(
        self,
        root: Path,
        shelf: Shelf,
        remembered: files.Remembered | None = None,
        expected: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Open a folder and a place; *expected* gives the keys whose records are read together, when one is needed."""
        super().__init__(root, remembered)
        self.shelf = shelf
        self.expected = expected
        self._aside = root / "mirror" / sha256(shelf.address.encode()).hexdigest()[:12]
        self._read: dict[Id, Record] = {}
        self._asked: dict[Id, float] = {}
        self._silent_until = 0.0

    # -- reading ---------------------------------------------------------------------------------

    def stamp(self, key: str, trace: str) -> Stamp | None:
        """Return what tells a result that is here or, by one listing a process, there."""
        return super().stamp(key, trace) or self._stamp_there((key, trace))

    def find(self, key: str, trace: str) -> Record | None:
        """Return a record from here or, asked for anew, from there."""
        result = (key, trace)
        found = super().find(*result)
        if found or self._marked("damaged", result):  # by a worker, it may be
            return found
        if result not in self._read and time.monotonic() - self._asked.get(result, -AGAIN) >= AGAIN:
            self._read |= self.shelf.records([result])
            self._asked[result] = time.monotonic()
        return self._read.get(result)

    def load(self, record: Record) -> Any:
        """Read a result, fetched from there if it is not here or damaged here."""
        self.hold(record)
        try:
            return super().load(record)
        except DamagedResult:
            with suppress(RecountError):
                self._fetch(record)
                return super().load(record)
            raise

    def hold(self, record: Record) -> None:
        """Fetch a result that is not here."""
        if super().find(record.key, record.trace.id) is None:
            self._fetch(record)

    def others(self, key: str) -> list[Record]:
        """Return the results of *key* under any trace, here and there, the newest last."""
        here = {(record.key, record.trace.id): record for record in super().others(key)}
        wanted = [result for result in self._there if result[0] == key and result not in here]
        self._learn(result for result in wanted if result not in self._read)
        there = {result: self._read[result] for result in wanted if result in self._read}
        return sorted((here | there).values(), key=lambda item: item.when)

    def _fetch(self, record: Record) -> None:
        result = (record.key, record.trace.id)
        try:
            self.shelf.get(record, Store(self.root))
        except DamagedResult as error:
            self._read.pop(result, None)
            self._mark("damaged", result, str(error))
            raise

    # -- what is there ---------------------------------------------------------------------------

    @cached_property
    def _there(self) -> dict[Id, str]:
        return self.shelf.results()

    @cached_property
    def _digests(self) -> dict[str, Any]:
        return files.read_json(self._aside / "stamps.json")

    def _stamp_there(self, result: Id) -> Stamp | None:
        if result not in self._there or self._marked("damaged", result):
            return None
        if not self._known(result):
            keys = {result[0], *self.expected()}
            self._learn(item for item in self._there if item[0] in keys and not self._known(item))
        return Stamp(*result, self._digests["/".join(result)][1]) if self._known(result) else None

    def _known(self, result: Id) -> bool:
        """Whether the digest is known of the result as it now lies there."""
        change = self._there[result]
        if not change:
            return result in self._read and "/".join(result) in self._digests
        return bool(self._digests.get("/".join(result), [None])[0] == change)

    def _learn(self, results: Iterable[Id]) -> None:
        found = self.shelf.records(list(results))
        self._read |= found
        self._digests.update({"/".join(item): [self._there[item], found[item].digest] for item in found})
        if found:
            with suppress(OSError):
                files.write_atomically(self._aside / "stamps.json", json.dumps(self._digests).encode())

    # -- writing ---------------------------------------------------------------------------------

    def commit(self, record: Record, value: object, *, anew: bool = False) -> Record:
        """Commit here, then send it there; that it could not be sent is noted, and loses nothing."""
        record = super().commit(record, value, anew=anew)
        self._send(record, replace=anew)
        return record

    def adopt(self, part: Path, record: Record) -> Record:
        """Adopt here, then send it there."""
        record = super().adopt(part, record)
        self._send(record)
        return record

    def _send(self, record: Record, *, replace: bool = False) -> None:
        result = (record.key, record.trace.id)
        self._mark("unsent", result, "replace" if replace else "")
        if time.monotonic() < self._silent_until:
            return
        try:
            self._sent(record, replace=replace)
        except RecountError:
            self._silent_until = time.monotonic() + PATIENCE

    def _sent(self, record: Record, *, replace: bool) -> None:
        result = (record.key, record.trace.id)
        replace = replace or self._marked("damaged", result)
        if replace or not self.shelf.records([result]):
            self.shelf.put(record, self, replace=replace)
        self._mark("damaged", result, None)
        self._mark("unsent", result, None)

    def send_left(self) -> str:
        """Send what could not be sent before; return, in a line, what could not be sent now either, or ""."""
        for result, note in self._marks("unsent"):
            record = super().find(*result)
            try:
                if record:
                    self._sent(record, replace=note == "replace")
                else:
                    self._mark("unsent", result, None)
            except DamagedResult:
                self._mark("unsent", result, None)  # it is damaged here, which the next build finds out and mends
            except RecountError as error:
                left = sum(1 for _ in self._marks("unsent"))
                return f"{left} results are kept here but were not sent to {self.shelf.address}: {error}"
        return ""

    # -- marks -----------------------------------------------------------------------------------

    def _marked(self, kind: str, result: Id) -> bool:
        return (self._aside / kind / "-".join(result)).exists()

    def _mark(self, kind: str, result: Id, note: str | None) -> None:
        """Leave a note for the next process, or take it away; a full disk is no reason to fail."""
        path = self._aside / kind / "-".join(result)
        with suppress(OSError):
            if note is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(note, encoding="utf-8")

    def _marks(self, kind: str) -> Iterator[tuple[Id, str]]:
        for path in sorted((self._aside / kind).glob("*-*")):
            key, _, trace = path.name.partition("-")
            yield (key, trace), path.read_text(encoding="utf-8")
