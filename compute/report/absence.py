"""What stands on a page for a result that is not there: its state, why, since when, and the last good value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compute.engine.privacy import redacted
from compute.engine.store import DamagedResult
from compute.report import formats

if TYPE_CHECKING:
    from compute.engine.build import Results
    from compute.engine.cell import Cell
    from compute.engine.code import Code
    from compute.engine.record import Record
    from compute.engine.store import Failure, Store

STATES = ("failed", "blocked", "missing", "stale")
"""From what needs most to what needs least."""

LARGEST = 10_000_000
"""Bytes of the largest former result that is read only to say a word of it."""


@dataclass(frozen=True)
class Former:
    """A value of a result that the present code and inputs did not give: shown, marked, and counted nowhere."""

    value: Any
    when: str
    under: str
    """What was other then: `other code` or `other inputs`."""

    def __str__(self) -> str:
        """Say what it is, as when somebody points at it."""
        return f"of {day(self.when)}, under {self.under}"


@dataclass(frozen=True)
class Absent:
    """A cell that has no fresh result."""

    cell: Cell
    state: str
    """failed, blocked, missing or stale."""
    why: str = ""
    since: str = ""
    """When it failed, or what blocks it did; UTC, ISO 8601; empty where that is not known."""
    attempts: int = 0
    details: str = ""
    """The traceback of a failure."""
    former: Record | None = None
    """The newest result of the same call, made under other code or inputs."""
    under: str = ""
    store: Store | None = None

    @property
    def name(self) -> str:
        """The cell's readable name."""
        return redacted(self.cell.name)

    @cached_property
    def last_good(self) -> Former | None:
        """The value of the newest result of the same call; None if there is none, or none that is whole."""
        if self.former is None or self.store is None:
            return None
        try:
            return Former(self.store.load(self.former), self.former.when, self.under)
        except DamagedResult:
            return None

    @property
    def facts(self) -> list[str]:
        """What else is known, in a few words each: since when, how many attempts, the last good value."""
        known = [f"since {moment(self.since)}"] if self.since else []
        if self.attempts:
            known.append(f"{self.attempts} attempt{'s' if self.attempts > 1 else ''}")
        if self.former is not None:
            known.append(f"last good value {self._told(self.former)}")
        return known

    def _told(self, former: Record) -> str:
        if former.size > LARGEST:
            return f"of {day(former.when)}, under {self.under}: {formats.size(former.size)}"
        good = self.last_good
        return f"{good}: {brief(good.value)}" if good else f"of {day(former.when)}, but damaged"


class Absences:
    """Tells of the cells of a study how they stand."""

    def __init__(self, store: Store, code: Code, results: Results) -> None:
        self.store = store
        self.code = code
        self.results = results
        self._known: dict[str, Absent] = {}

    def of(self, cell: Cell) -> Absent | None:
        """Return what stands for a cell's result; None if it has a fresh one."""
        if cell.key in self.results.records:
            return None
        if cell.key not in self._known:
            self._known[cell.key] = self._found(cell)
        return self._known[cell.key]

    def state(self, cell: Cell) -> str:
        """Return the state of any cell: fresh, failed, blocked, missing or stale."""
        absent = self.of(cell)
        return absent.state if absent else "fresh"

    def _found(self, cell: Cell) -> Absent:
        former = next(reversed(self.store.others(cell.key)), None)
        under = self._under(cell, former) if former else ""
        failure = self._failure(cell)
        if failure:
            why, details = failure.error, failure.traceback
            return Absent(cell, "failed", why, failure.when, failure.attempts, details, former, under, self.store)
        lacking = self._lacking(cell)
        if blocker := self._blocker(cell, lacking):
            why = f"it needs {blocker.name}, which failed: {blocker.why}"
            return Absent(cell, "blocked", why, blocker.since, former=former, under=under, store=self.store)
        why = f"it needs {_listed([item.name for item in lacking])}, not computed yet either" if lacking else ""
        if former:
            why = why or self._changes(cell, former)
            return Absent(cell, "stale", why, former=former, under=under, store=self.store)
        return Absent(cell, "missing", why or "it was never computed under this config", store=self.store)

    def _failure(self, cell: Cell) -> Failure | None:
        """Return the failure of this build, or an earlier one under the present code and inputs."""
        if cell.key in self.results.failures or cell.key in self.results.blocked:
            return self.results.failures.get(cell.key)
        kept = self.store.failure(cell.key)
        return kept if kept and not self._lacking(cell) and kept.trace == self._trace(cell) else None

    def _trace(self, cell: Cell) -> str:
        from compute.engine.plan import Planner

        stamps = self.results.records.stamps
        digests = {item.key: stamps[item.key].digest for item in cell.stored_inputs}
        return Planner(self.store, self.code).trace(cell, digests).id

    def _lacking(self, cell: Cell) -> list[Absent]:
        return [absent for item in cell.stored_inputs if (absent := self.of(item))]

    def _blocker(self, cell: Cell, lacking: Sequence[Absent]) -> Absent | None:
        """Return the failed cell that is the root of it all."""
        by = self.results.blocked.get(cell.key)
        broken = [self.of(by)] if by else [item for item in lacking if item.state in ("failed", "blocked")]
        for item in broken:
            if item is not None:
                return item if item.state == "failed" else self._blocker(item.cell, self._lacking(item.cell))
        return None

    def _under(self, cell: Cell, former: Record) -> str:
        return "other inputs" if dict(former.trace.code) == dict(self.code.parts(cell)) else "other code"

    def _changes(self, cell: Cell, former: Record) -> str:
        """Say what is not as it was when the former result was made."""
        code = _differing(former.trace.code, self.code.parts(cell))
        stamps = self.results.records.stamps
        now = {item.key: stamps[item.key].digest for item in cell.stored_inputs if item.key in stamps}
        names = {item.key: redacted(item.name) for item in cell.stored_inputs}
        inputs = [names.get(key, key[:12]) for key in _differing(former.trace.inputs, now)]
        parts = [f"{what} changed: {_listed(found)}" for what, found in (("code", code), ("inputs", inputs)) if found]
        return "; ".join(parts) or "it was made by another version of the tool"


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def day(when: str) -> str:
    """Return the day of a moment in ISO 8601."""
    return when[:10]


def moment(when: str) -> str:
    """Write a moment in ISO 8601 for people, to the minute."""
    return f"{when[:10]} {when[11:16]} UTC"


def brief(value: Any, most: int = 4) -> str:
    """Say in a few words what a value is: numbers as they are, of a mapping the plain entries, else the size."""
    if isinstance(value, bool | str) or value is None:
        return str(value)[:60]
    if isinstance(value, int | float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        plain = {name: item for name, item in value.items() if isinstance(item, bool | int | float | str)}
        shown = [f"{name} {brief(item)}" for name, item in list(plain.items())[:most]]
        return ", ".join(shown) + (" …" if len(value) > len(shown) else "")
    if isinstance(value, list):
        return f"{len(value)} item{'' if len(value) == 1 else 's'}"
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of {' × '.join(map(str, shape))}" if shape is not None else type(value).__name__


def worst(absences: Sequence[Absent]) -> str:
    """Return the state of the whole: the gravest among those of what is absent, or fresh."""
    return min((item.state for item in absences), key=STATES.index, default="fresh")


def counted(absences: Sequence[Absent]) -> str:
    """Say how many are in which state: `2 failed, 5 blocked`."""
    counts = {state: sum(item.state == state for item in absences) for state in STATES}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
