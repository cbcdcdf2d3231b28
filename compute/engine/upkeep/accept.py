"""Re-stamps results as valid for the present code, where a person vouches that a change of code changes no result.

Only code may differ: the call and the digests of its inputs are those of the result. Nothing is computed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from compute.engine import stores
from compute.engine.cell import Cell, reachable
from compute.engine.plan import Planner
from compute.engine.privacy import redacted
from compute.engine.record import Record, Trace
from compute.engine.store import RECORD, DamagedResult, Stamp
from compute.errors import UsageError


@dataclass(frozen=True)
class Answer:
    """What became of a cell that was to be accepted."""

    cell: Cell
    record: Record | None = None
    """The result that was accepted."""
    refused: str = ""
    """Why none was; empty also for a cell that was fresh as it is."""


def accept(planner: Planner, cells: Iterable[Cell], reason: str) -> list[Answer]:
    """Accept the results of *cells*, inputs first, so that what depends on them is fresh with them.

    Refuses, cell by cell, what is not stale by its code alone. UsageError for an empty *reason*.
    """
    if not reason.strip():
        raise UsageError("--reason: say why the change of code changes no result")
    wanted = list(cells)
    chosen = {cell.key for cell in wanted}
    return _Acceptance(planner, redacted(reason.strip())).all(reachable(wanted), chosen)


class _Acceptance:
    def __init__(self, planner: Planner, reason: str) -> None:
        self.planner = planner
        self.store = planner.store
        self.reason = reason
        self.fresh: dict[str, Stamp] = {}

    def all(self, ordered: Iterable[Cell], chosen: Set[str]) -> list[Answer]:
        answers = []
        for cell in ordered:
            answer = self.one(cell, cell.key in chosen)
            if cell.key in chosen:
                answers.append(answer)
        return answers

    def one(self, cell: Cell, chosen: bool) -> Answer:
        stale = next((item for item in cell.stored_inputs if item.key not in self.fresh), None)
        if stale:
            return Answer(cell, refused=f"its input {stale.name} is not fresh: accept or build that first")
        trace = self.planner.trace(cell, {item.key: self.fresh[item.key].digest for item in cell.stored_inputs})
        stamp = self.store.stamp(cell.key, trace.id)
        if stamp:
            self.fresh[cell.key] = stamp
            return Answer(cell)
        return self._accepted(cell, trace) if chosen else Answer(cell, refused="not chosen")

    def _accepted(self, cell: Cell, trace: Trace) -> Answer:
        failure = self.store.failure(cell.key)
        if failure and failure.trace == trace.id:
            return Answer(cell, refused=f"it failed under this code: {failure.error}")
        others = self.store.others(cell.key)
        same = [record for record in others if dict(record.trace.inputs) == dict(trace.inputs)]
        if not same:
            return Answer(cell, refused=self._why_none(cell, trace, others))
        nearest = min(reversed(same), key=lambda record: len(_differing(record.trace.code, trace.code)))
        try:
            record = self._restamped(nearest, trace)
        except (DamagedResult, FileNotFoundError) as error:
            return Answer(cell, refused=f"its stored result is not whole, build it: {error}")
        self.fresh[cell.key] = Stamp(record.key, record.trace.id, record.digest)
        return Answer(cell, record)

    def _restamped(self, old: Record, trace: Trace) -> Record:
        """Give a result a second record under *trace*; cost, environment and time stay those of its computation."""
        said = {"reason": self.reason, "when": datetime.now(UTC).isoformat(timespec="seconds"), "under": old.trace.id}
        stores.hold(self.store, old)
        part = self.store.scratch()
        source, kept = self.store.folder(old.key, old.trace.id), shutil.ignore_patterns(RECORD)
        shutil.copytree(source, part, ignore=kept, copy_function=shutil.copyfile, dirs_exist_ok=True)
        self.planner.remember(trace)
        record = self.store.adopt(part, replace(old, trace=trace, accepted=said))
        self.store.forget_failure(old.key)
        return record

    def _why_none(self, cell: Cell, trace: Trace, others: list[Record]) -> str:
        if others:
            names = {item.key: item.name for item in cell.stored_inputs}
            changed = _differing(others[-1].trace.inputs, trace.inputs)
            told = ", ".join(names.get(key, key[:12]) for key in changed)
            return f"its input {told} has another result than it was made from: build it"
        if any(record.name == redacted(cell.name) for record in self.store.all(cell.function.name)):
            return "its config changed, not its code alone: build it"
        return "no result of it exists: build it"


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
