"""Carries a plan out: what is ready runs, what fails blocks only what needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from compute.engine.cell import Cell
from compute.engine.executors import Executor, Outcome
from compute.engine.plan import Plan, Planner
from compute.engine.record import Record
from compute.engine.store import DamagedResult, Failure, Stamp, Store
from compute.engine.work import Task, failure


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


@dataclass
class Results:
    """What a build has: records by key, failures by key, and what blocks the rest."""

    records: Records
    failures: dict[str, Failure] = field(default_factory=dict)
    blocked: dict[str, Cell] = field(default_factory=dict)
    computed: set[str] = field(default_factory=set)
    """Keys of the cells that ran to their end now, rather than earlier."""

    def state(self, cell: Cell) -> str:
        """Say whether *cell* is fresh, failed, blocked or missing."""
        if cell.key in self.records:
            return "fresh"
        if cell.key in self.failures:
            return "failed"
        return "blocked" if cell.key in self.blocked else "missing"

    @property
    def whole(self) -> bool:
        """Whether every cell has a result."""
        return not self.failures and not self.blocked


def fresh_results(plan: Plan, store: Store) -> Results:
    """Return what is there without running anything."""
    return Results(Records(store, plan.fresh))


class Build:
    """One run of a plan."""

    def __init__(self, plan: Plan, planner: Planner, executor: Executor, observer: Observer) -> None:
        self.planner = planner
        self.executor = executor
        self.observer = observer
        self.results = fresh_results(plan, planner.store)
        self.waiting = {step.cell.key: step.cell for step in plan.to_run}
        self.running: dict[Future[Outcome], Task] = {}
        self.mended: set[str] = set()
        """Cells that met a damaged input once."""
        self.suspects: set[str] = set()
        """Cells that were running when a worker died; until all are done, cells run one at a time."""

    def run(self) -> Results:
        """Run until nothing is left; the executor is closed also when interrupted."""
        try:
            while self.waiting or self.running:
                left = len(self.waiting)
                self._start_ready()
                assert self.running or len(self.waiting) < left, "cells wait for cells outside the plan"
                self._collect()
        finally:
            self.executor.close()
        return self.results

    def _start_ready(self) -> None:
        """Hand over what can run, but keep little queued, so that an interrupt loses little."""
        most = 1 if self.suspects else 2 * self.executor.width
        for cell in sorted(self.waiting.values(), key=lambda cell: cell.key not in self.suspects):
            if len(self.running) >= most:
                return
            if broken := self._broken_input(cell):
                self._block(cell, broken)
            elif all(item.key in self.results.records for item in cell.stored_inputs):
                self._start(cell)

    def _broken_input(self, cell: Cell) -> Cell | None:
        failures, blocked = self.results.failures, self.results.blocked
        return next((item for item in cell.stored_inputs if item.key in failures or item.key in blocked), None)

    def _block(self, cell: Cell, by: Cell) -> None:
        del self.waiting[cell.key]
        self.results.blocked[cell.key] = by
        self.observer.blocked(cell, by)

    def _start(self, cell: Cell) -> None:
        """Start a cell, unless its inputs came out as they were and its result exists (early cutoff)."""
        del self.waiting[cell.key]
        inputs = {item.key: self.results.records.stamps[item.key] for item in cell.stored_inputs}
        trace = self.planner.trace(cell, {key: stamp.digest for key, stamp in inputs.items()})
        anew = cell.key in self.planner.forced
        if not anew and (known := self.planner.store.find(cell.key, trace.id)):
            self.results.records[cell.key] = known
            self.observer.reused(cell, known)
            return
        traces = {key: stamp.trace for key, stamp in inputs.items()}
        task = Task(cell, trace, traces, self.planner.store.root, anew)
        self.observer.started(cell)
        self.running[self.executor.submit(task)] = task

    def _collect(self) -> None:
        """Wait for at least one running cell, and take in what is done."""
        if not self.running:
            return
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            task = self.running.pop(future)
            error, key = future.exception(), task.cell.key
            if isinstance(error, BrokenExecutor) and key not in self.suspects:
                self.suspects.add(key)
                self.waiting[key] = task.cell
            elif isinstance(error, DamagedResult) and key not in self.mended:
                self._mend(task.cell)
            else:
                self._take(task, self.planner.store.fail(failure(task, error)) if error else future.result())

    def _take(self, task: Task, outcome: Outcome) -> None:
        cell = task.cell
        self.suspects.discard(cell.key)
        if isinstance(outcome, Failure):
            self.results.failures[cell.key] = outcome
            self.observer.failed(cell, outcome)
        else:
            self.results.records[cell.key] = outcome
            self.results.computed.add(cell.key)
            self.observer.finished(cell, outcome)

    def _mend(self, cell: Cell) -> None:
        """Run the inputs of a cell again whose results turned out damaged, then the cell."""
        self.mended.add(cell.key)
        for item in cell.stored_inputs:
            stamp = self.results.records.stamps.get(item.key)
            if stamp and self.planner.store.find(item.key, stamp.trace) is None:
                del self.results.records[item.key]
                self.waiting[item.key] = item
        self.waiting[cell.key] = cell
