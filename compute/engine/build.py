"""Carries a plan out: what is ready runs, what fails blocks only what needs it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from compute.engine.cell import Cell
from compute.engine.executors import Executor, Outcome
from compute.engine.plan import Plan, Planner
from compute.engine.record import Record
from compute.engine.store import Failure
from compute.engine.work import Task


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


@dataclass
class Results:
    """What a build has: records by key, failures by key, and what blocks the rest."""

    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    blocked: dict[str, Cell] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every cell has a result."""
        return not self.failures and not self.blocked


def fresh_results(plan: Plan) -> Results:
    """Return what is there without running anything."""
    return Results({key: step.record for key, step in plan.steps.items() if step.record})


class Build:
    """One run of a plan."""

    def __init__(self, plan: Plan, planner: Planner, executor: Executor, observer: Observer) -> None:
        self.planner = planner
        self.executor = executor
        self.observer = observer
        self.results = fresh_results(plan)
        self.waiting = {step.cell.key: step.cell for step in plan.to_run}
        self.running: dict[Future[Outcome], Cell] = {}

    def run(self) -> Results:
        """Run until nothing is left; the executor is closed also when interrupted."""
        try:
            while self.waiting or self.running:
                self._start_ready()
                self._collect()
        finally:
            self.executor.close()
        return self.results

    def _start_ready(self) -> None:
        """Hand over what can run, but keep little queued, so that an interrupt loses little."""
        for cell in list(self.waiting.values()):
            if len(self.running) >= 2 * self.executor.width:
                return
            if broken := self._broken_input(cell):
                self._block(cell, broken)
            elif all(item.key in self.results.records for item in cell.stored_inputs):
                self._start(cell)

    def _broken_input(self, cell: Cell) -> Cell | None:
        broken = (*self.results.failures, *self.results.blocked)
        return next((item for item in cell.stored_inputs if item.key in broken), None)

    def _block(self, cell: Cell, by: Cell) -> None:
        del self.waiting[cell.key]
        self.results.blocked[cell.key] = by
        self.observer.blocked(cell, by)

    def _start(self, cell: Cell) -> None:
        """Start a cell, unless its inputs came out as they were and its result exists (early cutoff)."""
        del self.waiting[cell.key]
        records = self.results.records
        trace = self.planner.trace(cell, {key: record.digest for key, record in records.items()})
        anew = cell.key in self.planner.forced
        if not anew and (known := self.planner.store.find(cell.key, trace.id)):
            records[cell.key] = known
            self.observer.reused(cell, known)
            return
        inputs = {item.key: records[item.key].trace.id for item in cell.stored_inputs}
        self.observer.started(cell)
        future = self.executor.submit(Task(cell, trace, inputs, self.planner.store.root, anew))
        self.running[future] = cell

    def _collect(self) -> None:
        """Wait for at least one running cell, and take in what is done."""
        if not self.running:
            return
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            cell = self.running.pop(future)
            outcome = future.result()
            if isinstance(outcome, Failure):
                self.results.failures[cell.key] = outcome
                self.observer.failed(cell, outcome)
            else:
                self.results.records[cell.key] = outcome
                self.observer.finished(cell, outcome)


def states(cells: Iterable[Cell], results: Results) -> dict[str, str]:
    """Say of each cell whether it is fresh, failed, blocked or missing, by key."""
    named = {"fresh": results.records, "failed": results.failures, "blocked": results.blocked}
    return {c.key: next((state for state, keys in named.items() if c.key in keys), "missing") for c in cells}
