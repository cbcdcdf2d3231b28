"""Carries a plan out: what is ready runs, what fails blocks only what needs it, what others compute is taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from compute.engine.cell import Cell
from compute.engine.executors import Executor, Outcome, Stopped
from compute.engine.history import History
from compute.engine.leases import Leases
from compute.engine.limits import Limits
from compute.engine.plan import Plan, Planner
from compute.engine.record import Record, Trace
from compute.engine.results import Observer, Records, Results, fresh_results
from compute.engine.schedule import Schedule
from compute.engine.store import DamagedResult, Failure
from compute.engine.work import Task, failure

__all__ = ["Build", "Observer", "Records", "Results", "fresh_results"]

POLL = 0.2
"""Seconds between two looks at what other builds compute."""


class Build:
    """One run of a plan."""

    def __init__(
        self,
        plan: Plan,
        planner: Planner,
        executor: Executor,
        observer: Observer,
        *,
        history: History | None = None,
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
        leases: Leases | None = None,
    ) -> None:
        """Take what runs and where. *environment* is set where the cells run; *limits* says what runs beside what."""
        self.planner = planner
        self.store = planner.store
        self.executor = executor
        self.observer = observer
        self.limits = limits
        self.environment = dict(environment or {})
        self.leases = leases or Leases(self.store.root, say=observer.noticed)
        self.results = fresh_results(plan, self.store)
        self.cells = [step.cell for step in plan.to_run]
        self.schedule = Schedule(self.cells, history.seconds if history else lambda cell: None)
        self.running: dict[Future[Outcome], Task] = {}
        self.elsewhere: dict[str, tuple[Cell, Trace]] = {}
        """What other builds compute at present."""
        self.looked = 0.0
        self.mended: set[str] = set()
        """Cells that met a damaged input once."""
        self.suspects: set[str] = set()
        """Cells that were running when a worker died; until all are done, cells run one at a time."""

    def run(self) -> Results:
        """Run until nothing is left; executor and leases are closed also when interrupted."""
        try:
            if self.cells:
                self.store.check_writable()
            for cell in self.cells:
                self._enter(cell)
            while self.schedule or self.running or self.elsewhere:
                started = self._start_ready()
                assert started or self.running or self.elsewhere, "cells wait for cells outside the plan"
                self._collect()
                self._look_elsewhere()
        finally:
            try:
                self.executor.close()
            finally:
                self.leases.close()
        return self.results

    # -- what waits ------------------------------------------------------------------------------

    def _enter(self, cell: Cell, *, first: bool = False) -> None:
        """Let a cell wait for the inputs that it lacks, or block it if one will not come."""
        lacking = [item for item in cell.stored_inputs if item.key not in self.results.records]
        lost = (item for item in lacking if item.key in self.results.failures or item.key in self.results.blocked)
        if broken := next(lost, None):
            self._block(cell, broken)
        else:
            self.schedule.add(cell, [item.key for item in lacking], first=first)

    def _block(self, cell: Cell, by: Cell) -> None:
        stack = [(cell, by)]
        while stack:
            cell, by = stack.pop()
            self.results.blocked[cell.key] = by
            self.suspects.discard(cell.key)
            self.observer.blocked(cell, by)
            stack.extend((waiter, cell) for waiter in self.schedule.lost(cell.key))

    def _arrived(self, cell: Cell, record: Record) -> None:
        self.results.records[cell.key] = record
        self.schedule.arrived(cell.key)

    # -- what runs -------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        """Hand over what can run at once, and no more: the rest may run elsewhere. Say whether anything moved."""
        moved = False
        while len(self.running) < (1 if self.suspects else self.executor.width):
            cell = self.schedule.take(self._fits)
            if cell is None:
                break
            moved = True
            if all(item.key in self.results.records for item in cell.stored_inputs):
                self._start(cell)
            else:  # an input turned out damaged since
                self._enter(cell)
        return moved

    def _fits(self, cell: Cell) -> bool:
        return self.limits is None or self.limits.fits(cell, (task.cell for task in self.running.values()))

    def _start(self, cell: Cell) -> None:
        """Start a cell, unless its result is there by now or another build computes it."""
        inputs = {item.key: self.results.records.stamps[item.key] for item in cell.stored_inputs}
        trace = self.planner.trace(cell, {key: stamp.digest for key, stamp in inputs.items()})
        if self._known(cell, trace):  # its inputs came out as they were (early cutoff), or another build was faster
            return
        if not self.leases.acquire(cell.key):
            self.elsewhere[cell.key] = cell, trace
            self.observer.elsewhere(cell)
            return
        if self._known(cell, trace):  # it came between our look and the lease
            self.leases.release(cell.key)
            return
        anew, traces = cell.key in self.planner.forced, {key: stamp.trace for key, stamp in inputs.items()}
        self.planner.remember(trace)
        task = Task(cell, trace, traces, self.store.root, anew, environment=self.environment)
        self.observer.started(cell)
        self.running[self.executor.submit(task)] = task

    def _known(self, cell: Cell, trace: Trace) -> bool:
        """Take a result that exists, but where it is to be computed anew."""
        known = None if cell.key in self.planner.forced else self.store.find(cell.key, trace.id)
        if known:
            self.elsewhere.pop(cell.key, None)
            self.suspects.discard(cell.key)
            self._arrived(cell, known)
            self.observer.reused(cell, known)
        return known is not None

    def _look_elsewhere(self) -> None:
        """Take the results that other builds have finished, and the cells that they gave up."""
        if not self.elsewhere or time.monotonic() - self.looked < POLL:
            return
        self.looked = time.monotonic()
        for cell, trace in list(self.elsewhere.values()):
            if not self._known(cell, trace) and self.leases.free(cell.key):
                del self.elsewhere[cell.key]
                self.schedule.add(cell)

    def _collect(self) -> None:
        """Wait for at least one running cell, and take in what is done."""
        if self.elsewhere and not self.running:
            time.sleep(POLL)
        timeout = POLL if self.elsewhere else None
        for future in wait(self.running, timeout, return_when=FIRST_COMPLETED).done:
            task = self.running.pop(future)
            try:
                self._conclude(task, future)
            finally:
                self.leases.release(task.cell.key)

    def _conclude(self, task: Task, future: Future[Outcome]) -> None:
        error, key = future.exception(), task.cell.key
        if isinstance(error, Stopped):
            raise error
        if isinstance(error, BrokenExecutor) and key not in self.suspects:
            self.suspects.add(key)
            self._enter(task.cell, first=True)
        elif isinstance(error, DamagedResult) and key not in self.mended:
            self._mend(task.cell)
        else:
            self._take(task.cell, self.store.fail(failure(task, error)) if error else future.result())

    def _take(self, cell: Cell, outcome: Outcome) -> None:
        self.suspects.discard(cell.key)
        if isinstance(outcome, Failure):
            self.results.failures[cell.key] = outcome
            self.observer.failed(cell, outcome)
            for waiter in self.schedule.lost(cell.key):
                self._block(waiter, cell)
        else:
            self.results.computed.add(cell.key)
            self._arrived(cell, outcome)
            self.observer.finished(cell, outcome)

    def _mend(self, cell: Cell) -> None:
        """Run the inputs of a cell again whose results turned out damaged, then the cell."""
        self.mended.add(cell.key)
        for item in cell.stored_inputs:
            stamp = self.results.records.stamps.get(item.key)
            if stamp and self.store.find(item.key, stamp.trace) is None:
                del self.results.records[item.key]
                self._enter(item)
        self._enter(cell)
