"""Cells wanted → what is fresh, what will run, in order, each with its reasons. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from compute.engine.cell import Cell, reachable
from compute.engine.code import Code
from compute.engine.record import Trace, trace_id
from compute.engine.sources import Sources
from compute.engine.store import Stamp, Store

Kind = Literal["missing", "code changed", "input changed", "failed before", "forced", "input will run"]


@dataclass(frozen=True)
class Reason:
    """Why a cell will run."""

    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True)
class Step:
    """One cell of a plan: fresh with the stamp of its result, or to run for reasons."""

    cell: Cell
    stamp: Stamp | None
    reasons: tuple[Reason, ...] = ()

    @property
    def fresh(self) -> bool:
        """Whether the stored result is what the present config, code and inputs would give."""
        return self.stamp is not None


@dataclass(frozen=True)
class Plan:
    """Every stored cell that the wanted results need, inputs first."""

    steps: Mapping[str, Step]

    @property
    def to_run(self) -> list[Step]:
        """The steps that are not fresh, in order."""
        return [step for step in self.steps.values() if not step.fresh]

    @property
    def fresh(self) -> dict[str, Stamp]:
        """The results that are there, by key."""
        return {key: step.stamp for key, step in self.steps.items() if step.stamp}


class Planner:
    """Compares what is wanted with what the store holds."""

    def __init__(self, store: Store, code: Code, *, forced: Set[str] = frozenset()) -> None:
        self.store = store
        self.code = code
        self.forced = forced
        self.sources = Sources(store.root)

    def plan(self, wanted: Iterable[Cell]) -> Plan:
        """Plan the computation of *wanted*: nothing runs, and no cell function is imported."""
        steps: dict[str, Step] = {}
        for cell in reachable(list(wanted)):
            steps[cell.key] = self._step(cell, steps)
        return Plan(steps)

    def trace(self, cell: Cell, digests: Mapping[str, str]) -> Trace:
        """Return the trace that *cell* has under the present code and the given digests by key."""
        inputs = {item.key: digests[item.key] for item in cell.stored_inputs}
        parts, code, _ = self.code.made_by(cell)
        return Trace(parts, inputs, trace_id(code, inputs))

    def remember(self, trace: Trace) -> None:
        """Keep the text of what a result will be made by, for `why` to show what changed since."""
        self.sources.keep(self.code, trace.code)

    def _step(self, cell: Cell, steps: Mapping[str, Step]) -> Step:
        inputs = [steps[item.key] for item in cell.stored_inputs]
        pending = [step.cell.name for step in inputs if not step.fresh]
        forced = [Reason("forced")] if cell.key in self.forced else []
        if pending:
            upstream = [Reason("input will run", ", ".join(pending[:3]) + (" …" if len(pending) > 3 else ""))]
            return Step(cell, None, (*forced, *self._lacking(cell), *upstream))
        trace = self.trace(cell, {step.cell.key: step.stamp.digest for step in inputs if step.stamp})
        stamp = self.store.stamp(cell.key, trace.id)
        if stamp and not forced:
            return Step(cell, stamp)
        return Step(cell, None, tuple(forced) or self.reasons(cell, trace))

    def _lacking(self, cell: Cell) -> list[Reason]:
        return [] if self.store.others(cell.key) else [Reason("missing")]

    def reasons(self, cell: Cell, trace: Trace) -> tuple[Reason, ...]:
        """Compare a trace that has no result with the nearest result of the same key."""
        failure = self.store.failure(cell.key)
        if failure and failure.trace == trace.id:
            return (Reason("failed before", f"{failure.error} (attempt {failure.attempts})"),)
        others = self.store.others(cell.key)
        if not others:
            return (Reason("missing"),)
        nearest = min(others, key=lambda record: len(_changes(record.trace, trace)))
        return tuple(_changes(nearest.trace, trace))


def _changes(old: Trace, new: Trace) -> list[Reason]:
    code = [Reason("code changed", name) for name in _differing(old.code, new.code)]
    inputs = [Reason("input changed", _arrow(old, new, key)) for key in _differing(old.inputs, new.inputs)]
    return [*code, *inputs]


def _arrow(old: Trace, new: Trace, key: str) -> str:
    before, after = (trace.inputs.get(key, "none")[:12] for trace in (old, new))
    return f"{key[:12]} {before} → {after}"


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
