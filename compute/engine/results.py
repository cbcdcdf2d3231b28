"""What a build says while it runs, and what it has in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Protocol

from compute.engine.cell import Cell
from compute.engine.plan import Plan
from compute.engine.record import Record
from compute.engine.store import Failure, Stamp, Store


class Observer(Protocol):
    """Hears of a build while it runs."""

    def started(self, cell: Cell) -> None:
        """A cell was handed to the executor."""

    def finished(self, cell: Cell, record: Record) -> None:
        """A cell was computed and committed."""

    def reused(self, cell: Cell, record: Record) -> None:
        """A cell need not run after all: its inputs came out as before."""

    def failed(self, cell: Cell, failure: Failure) -> None:
        """A cell raised an error."""

    def blocked(self, cell: Cell, by: Cell) -> None:
        """A cell cannot run, for an input failed or is blocked."""

    def elsewhere(self, cell: Cell) -> None:
        """Another build computes the cell at present: its result will be taken, or the cell run here after all."""

    def noticed(self, text: str) -> None:
        """Something is not as it should be, and the build goes on."""


class Records(MutableMapping[str, Record]):
    """The records of results by key, each read when it is first asked for: a plan needs no more than the stamps."""

    def __init__(self, store: Store, stamps: Mapping[str, Stamp]) -> None:
        self.stamps = dict(stamps)
        self._store = store
        self._read: dict[str, Record] = {}

    def __getitem__(self, key: str) -> Record:
        """Return a record; KeyError for none, DamagedResult if it was there and is gone."""
        if key not in self._read:
            self._read[key] = self._store.record(self.stamps[key])
        return self._read[key]

    def __setitem__(self, key: str, record: Record) -> None:
        self.stamps[key] = Stamp(key, record.trace.id, record.digest)
        self._read[key] = record

    def __delitem__(self, key: str) -> None:
        del self.stamps[key]
        self._read.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self.stamps

    def __iter__(self) -> Iterator[str]:
        return iter(self.stamps)

    def __len__(self) -> int:
        return len(self.stamps)

    def of_other_traces(self, key: str) -> list[Record]:
        """Return what the store holds for a key without a record here, the newest last."""
        return self._store.others(key)


@dataclass
class Results:
    """What a build has: records by key, failures by key, and what blocks the rest."""

    records: Records
    failures: dict[str, Failure] = field(default_factory=dict)
    blocked: dict[str, Cell] = field(default_factory=dict)
    computed: set[str] = field(default_factory=set)
    """Keys of the cells that ran to their end now, rather than earlier."""

    def state(self, cell: Cell) -> str:
        """Say whether *cell* is fresh, failed, blocked, stale (only results of another trace exist) or missing."""
        if cell.key in self.records:
            return "fresh"
        if cell.key in self.failures:
            return "failed"
        if cell.key in self.blocked:
            return "blocked"
        return "stale" if self.records.of_other_traces(cell.key) else "missing"

    @property
    def whole(self) -> bool:
        """Whether no cell failed or is blocked."""
        return not self.failures and not self.blocked


def fresh_results(plan: Plan, store: Store) -> Results:
    """Return what is there without running anything."""
    return Results(Records(store, plan.fresh))


def present_results(plan: Plan, store: Store) -> Results:
    """Return what is there without running anything, with what failed before and what that blocks."""
    results = fresh_results(plan, store)
    for step in plan.to_run:
        lost = results.failures.keys() | results.blocked.keys()
        broken = next((item for item in step.cell.stored_inputs if item.key in lost), None)
        failure = store.failure(step.cell.key) if "failed before" in {reason.kind for reason in step.reasons} else None
        if failure:
            results.failures[step.cell.key] = failure
        elif broken:
            results.blocked[step.cell.key] = broken
    return results
