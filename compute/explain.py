"""Says why a cell will run, against the nearest result that exists, and shows what is kept of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from compute.engine.plan import Plan, Step
from compute.engine.record import Record, readable
from compute.engine.store import Failure
from compute.engine.upkeep.changes import Changes, CodeChange, Comparison

if TYPE_CHECKING:
    from compute.session import Session

LONGEST = 2000
"""Characters of a result that `show` prints."""

MOST, LINES = 20, 60
"""Items of one list, and lines of one diff, that are printed for people; JSON has them all."""


@dataclass(frozen=True)
class Explanation:
    """Why one cell will run, or that it will not."""

    name: str
    step: Step
    record: Record | None
    """That of the result, if it is fresh."""
    changes: Changes | None
    """What differs from the nearest result, if the cell will run and there is one."""
    waiting: tuple[str, ...]
    """The inputs that will run before it."""
    failure: Failure | None
    """Its last failure, if it has not succeeded since."""

    def as_data(self) -> dict[str, Any]:
        """Return plain data, whole."""
        changes, failure, record = self.changes, self.failure, self.record
        compared = changes and {"name": changes.record.name, **_named(changes.record), "same_key": changes.same_key}
        return {
            "cell": self.name,
            "key": self.step.cell.key,
            "fresh": self.step.fresh,
            "computed": record.when if record else None,
            "accepted": record.accepted if record else None,
            "reasons": [asdict(reason) for reason in self.step.reasons],
            "compared_with": compared,
            "config": [asdict(item) for item in changes.config] if changes else [],
            "code": [asdict(item) for item in changes.code] if changes else [],
            "libraries": [asdict(item) for item in changes.libraries] if changes else [],
            "inputs": [asdict(item) for item in changes.inputs] if changes else [],
            "will_run_before": list(self.waiting),
            "failure": {"error": failure.error, "attempts": failure.attempts, "when": failure.when}
            if failure
            else None,
        }

    def lines(self) -> Iterator[str]:
        """Say it in lines."""
        if self.record:
            accepted = self.record.accepted
            vouched = f"; accepted {accepted['when'][:10]}: {accepted['reason']}" if accepted else ""
            yield f"{self.name} is fresh: computed {self.record.when}{vouched}"
            return
        kinds = dict.fromkeys(reason.kind for reason in self.step.reasons)
        yield f"{self.name} will run: {', '.join(kinds)}"
        if self.failure:
            times = "once" if self.failure.attempts == 1 else f"{self.failure.attempts} times"
            yield f"  failed {times}, last {self.failure.when}: {self.failure.error}"
        yield from _capped([f"  input that will run: {name}" for name in self.waiting])
        if self.changes:
            yield from _compared(self.changes)


def _named(record: Record) -> dict[str, str]:
    return {"key": record.key, "trace": record.trace.id, "when": record.when}


def _compared(changes: Changes) -> Iterator[str]:
    """Say what differs from a result."""
    which = "the last result" if changes.same_key else f"the nearest result, {changes.record.name}"
    lists = (changes.config, changes.libraries, changes.inputs, changes.code)
    yield f"  against {which}, computed {changes.record.when}" + (":" if any(lists) else ", nothing differs")
    yield from _capped([f"    {item}" for item in changes.config])
    yield from _capped([f"    library {item}" for item in changes.libraries])
    arrows = [f"    input {item.cell}: {_short(item.old)} → {_short(item.new)}" for item in changes.inputs]
    yield from _capped(arrows)
    for item in changes.code[:MOST]:
        yield from _code(item)
    yield from _more(changes.code, MOST, "definitions that differ")


def _code(item: CodeChange) -> Iterator[str]:
    yield f"    {item.name} {item.change}" + (", but its former text was not kept" if item.diff is None else ":")
    yield from (f"      {line}" for line in (item.diff or ())[:LINES])
    yield from _more(item.diff or (), LINES, "lines")


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _capped(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MOST]
    yield from _more(lines, MOST, "such lines")


def _more(items: Sequence[object], most: int, what: str) -> Iterator[str]:
    if len(items) > most:
        yield f"    … and {len(items) - most} more {what}; --json has all"


def explanation(session: Session, plan: Plan, step: Step) -> Explanation:
    """Explain a step of a plan: its reasons, and what differs from the nearest result."""
    cell, store = step.cell, session.store
    name = session.names.get(cell.key, cell.name)
    if step.stamp:
        return Explanation(name, step, store.record(step.stamp), None, (), None)
    inputs = [plan.steps[item.key] for item in cell.stored_inputs]
    digests = {item.cell.key: item.stamp.digest for item in inputs if item.stamp}
    waiting = tuple(session.names.get(item.cell.key, item.cell.name) for item in inputs if not item.fresh)
    changes = Comparison(store, session.code, session.names).nearest(cell, digests)
    return Explanation(name, step, None, changes, waiting, store.failure(cell.key))


def described(session: Session, step: Step) -> dict[str, Any]:
    """Return what there is to know of a cell as plain data."""
    cell, record = step.cell, session.store.record(step.stamp) if step.stamp else None
    return {
        "cell": cell.name,
        "key": cell.key,
        "state": "fresh" if record else "; ".join(map(str, step.reasons)),
        "arguments": readable(cell.arguments),
        "inputs": [item.name for item in cell.inputs],
        "code": session.code.parts(cell),
        "widened": session.code.widened(cell),
        "record": asdict(record) if record else None,
        "result": _shortened(session.store.load(record)) if record else None,
    }


def _shortened(value: Any) -> Any:
    """Return a result as plain data, long ones cut."""
    if isinstance(value, Mapping):
        return {str(name): _shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value[:20]] + ([f"… {len(value)} in all"] if len(value) > 20 else [])
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else _summary(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … {len(text)} characters in all"


def _summary(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} {tuple(shape)}" if shape is not None else str(value)
