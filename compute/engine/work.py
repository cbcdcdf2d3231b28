"""Computes one cell: loads its inputs, calls its function, commits the result. Runs in any process."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.engine import stores
from compute.engine.cell import Cell, replace_cells
from compute.engine.keys import key_of
from compute.engine.machine import Meter, environment, source
from compute.engine.privacy import know, redacted
from compute.engine.record import Cost, Record, Trace, readable
from compute.engine.store import DamagedResult, Failure, Store
from compute.errors import UsageError


@dataclass(frozen=True)
class Task:
    """A cell to compute: specs and keys, never data."""

    cell: Cell
    trace: Trace
    inputs: Mapping[str, str]
    """Key of each stored input → id of the trace whose result is to be read."""
    root: Path
    """The store."""
    anew: bool = False
    """Replace a result that exists."""
    into: Path | None = None
    """The store that takes the result, if not *root*."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set where the task runs: settings, such as the device."""
    source: Mapping[str, Any] | None = field(default_factory=source)
    """The commit of the source, as it is where the task is made."""

    def __getstate__(self) -> dict[str, object]:
        """Travel without the cells behind the stored inputs."""
        return {**self.__dict__, "cell": self.cell.shipped()}


@dataclass(frozen=True)
class Handle:
    """An input that is loaded when asked for, so that a cell holds no more than it uses."""

    cell: Cell
    inputs: _Inputs

    def load(self) -> Any:
        """Read the input's result, or compute it if it is not kept."""
        return self.inputs.load(self.cell)

    @property
    def identity(self) -> tuple[str, ...]:
        """Tell the input's result from all others: its key, and the traces of what it is, or is made of."""
        stored = (self.cell,) if self.cell.function.store else self.cell.stored_inputs
        return (self.cell.key, *(self.inputs.traces[item.key] for item in stored))


def run(task: Task, check: Callable[[], None] = lambda: None) -> Record | Failure:
    """Compute a cell and commit its result, or say how it failed: its own errors are never raised.

    *check* is called before the cell, and again before its result is committed; an error that it raises is the
    cell's. Raises DamagedResult if the result of a stored input is not whole, so that it must be computed again.
    """
    os.environ.update(task.environment)
    know(task.root.parent)
    store = Store(task.into) if task.into else stores.at(task.root)
    try:
        record = _compute(task, store, check)
    except DamagedResult:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary: what a cell raises is its failure
        return store.fail(failure(task, error))
    store.forget_failure(task.cell.key)
    return record


def _compute(task: Task, store: Store, check: Callable[[], None]) -> Record:
    check()
    meter = Meter()
    value = _call(task.cell, _Inputs(stores.at(task.root), task.inputs))
    cost = meter.cost()
    check()
    for item in task.cell.inline:
        if key_of(item.function.name, item.arguments) != item.key:
            raise UsageError(f"a file that {item.name} reads changed during the build; build again")
    return store.commit(_record(task, cost), value, anew=task.anew)


class _Inputs:
    """The inputs of one task, each read or computed at most once, but for what is loaded through a handle."""

    def __init__(self, store: Store, traces: Mapping[str, str]) -> None:
        self.store = store
        self.traces = traces
        self.values: dict[str, Any] = {}

    def handle(self, cell: Cell) -> Handle:
        return Handle(cell, self)

    def value(self, cell: Cell) -> Any:
        if cell.key not in self.values:
            self.values[cell.key] = self.load(cell)
        return self.values[cell.key]

    def load(self, cell: Cell) -> Any:
        if not cell.function.store:
            return _call(cell, self)
        record = self.store.find(cell.key, self.traces[cell.key])
        if record is None:
            raise DamagedResult(f"the result of {cell.name} is gone; build again to recompute it")
        return self.store.load(record)


def _call(cell: Cell, inputs: _Inputs) -> Any:
    """Call a cell's function with its inputs in place of their cells."""
    arguments = {
        name: replace_cells(value, inputs.handle if name in cell.function.lazy else inputs.value)
        for name, value in cell.arguments.items()
    }
    if cell.seed is not None:
        arguments["seed"] = cell.seed
    return cell.function.function(**arguments)


def _record(task: Task, cost: Cost) -> Record:
    cell = task.cell
    return Record(
        key=cell.key,
        name=redacted(cell.name),
        function=cell.function.name,
        arguments=readable(cell.arguments),
        trace=task.trace,
        digest="",
        size=0,
        files={},
        cost=cost,
        seed=cell.seed,
        when=_now(),
        environment={**environment(task.source), "settings": _settings(task)},
    )


def _settings(task: Task) -> dict[str, str]:
    """Return the settings that say how, not where, the cell ran."""
    return {name: redacted(value) for name, value in task.environment.items() if name != stores.SETTING}


def failure(task: Task, error: BaseException) -> Failure:
    """Describe what a task raised, without what would betray whose machine it is."""
    know(task.root.parent)
    return Failure(
        key=task.cell.key,
        name=redacted(task.cell.name),
        trace=task.trace.id,
        error=redacted(f"{type(error).__name__}: {error}"),
        traceback=redacted("".join(traceback.format_exception(error))),
        attempts=0,
        when=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
