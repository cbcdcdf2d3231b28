"""Computes one cell: loads its inputs, calls its function, commits the result. Runs in any process."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compute.engine.cell import Cell, replace_cells
from compute.engine.keys import derived_seed
from compute.engine.record import Cost, Record, Trace, environment, readable
from compute.engine.store import DamagedResult, Failure, Store


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


@dataclass(frozen=True)
class Handle:
    """An input that is loaded when asked for, so that a cell holds no more than it uses."""

    store: Store
    record: Record

    def load(self) -> Any:
        """Read the input's result."""
        return self.store.load(self.record)


def run(task: Task) -> Record | Failure:
    """Compute a cell and commit its result, or say how it failed. Never raises for the cell's own errors."""
    store = Store(task.root)
    started, cpu = time.perf_counter(), time.process_time()
    try:
        value = _call(task.cell, _Inputs(store, task.inputs))
        cost = Cost(round(time.perf_counter() - started, 3), round(time.process_time() - cpu, 3), _peak())
        record = store.commit(_record(task, cost), value, anew=task.anew)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a cell raises becomes its failure
        return store.fail(_failure(task, error))
    store.forget_failure(task.cell.key)
    return record


class _Inputs:
    """The stored inputs of one task, each read at most once."""

    def __init__(self, store: Store, traces: Mapping[str, str]) -> None:
        self.store = store
        self.traces = traces
        self.values: dict[str, Any] = {}

    def handle(self, cell: Cell) -> Handle:
        record = self.store.find(cell.key, self.traces[cell.key])
        if record is None:
            raise DamagedResult(f"the result of {cell.name} is gone; build again to recompute it")
        return Handle(self.store, record)

    def value(self, cell: Cell) -> Any:
        if cell.key not in self.values:
            inline = not cell.function.store
            self.values[cell.key] = _call(cell, self) if inline else self.handle(cell).load()
        return self.values[cell.key]


def _call(cell: Cell, inputs: _Inputs) -> Any:
    """Call a cell's function with its inputs in place of their cells."""
    arguments = {
        name: replace_cells(value, inputs.handle if name in cell.function.lazy else inputs.value)
        for name, value in cell.arguments.items()
    }
    if "seed" in arguments:
        arguments["seed"] = derived_seed(arguments["seed"], cell.key)
    return cell.function.function(**arguments)


def _record(task: Task, cost: Cost) -> Record:
    cell = task.cell
    seed = cell.arguments.get("seed")
    return Record(
        key=cell.key,
        name=cell.name,
        function=cell.function.name,
        arguments=readable(cell.arguments),
        trace=task.trace,
        digest="",
        size=0,
        files={},
        cost=cost,
        seed=derived_seed(seed, cell.key) if isinstance(seed, int) else None,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(),
    )


def _failure(task: Task, error: Exception) -> Failure:
    lines = [_without_folders(line) for line in traceback.format_exception(error)]
    return Failure(
        key=task.cell.key,
        name=task.cell.name,
        trace=task.trace.id,
        error=f"{type(error).__name__}: {error}",
        traceback="".join(lines),
        attempts=0,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _without_folders(line: str) -> str:
    """Shorten the paths of a traceback: where the project lies on this machine is nobody's business."""
    for folder, name in ((str(Path.cwd()), "."), (str(Path.home()), "~")):
        line = line.replace(folder + os.sep, name + os.sep)
    return line


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
