"""Computes stored results again, each in a clean process, and keeps how they came out. Replaces no result.

verified/<key>/<trace>.json      what was found of one result, the worst of all times
index/verified                   changes whenever something was found
"""

from __future__ import annotations

import json
import math
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from compute.engine import files, stores
from compute.engine.plan import Plan, Planner, Step
from compute.engine.store import DamagedResult, Failure, Stamp, Store
from compute.engine.upkeep.clean import STOPPED, recomputed
from compute.engine.upkeep.compare import Deviation, compare
from compute.engine.work import Task

Outcome = Literal["bit-exact", "within tolerance", "different"]
OUTCOMES: tuple[Outcome, ...] = ("bit-exact", "within tolerance", "different")
"""From the best to the worst."""


@dataclass(frozen=True)
class Verification:
    """How a stored result came out whenever it was computed again."""

    digest: str
    """Of the stored result: what is known of another one does not hold for it."""
    counts: Mapping[str, int]
    """How many times it came out how."""
    deviation: Mapping[str, Any] | None
    """Where and how far it lay off when it was farthest: a `Deviation`'s members."""
    when: str
    """The last time, UTC, ISO 8601."""
    environment: Mapping[str, Any]
    """The versions and machine of the last time."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome: what once came out differently is not reproducible, however often it is."""
        return max((name for name in OUTCOMES if self.counts.get(name)), key=OUTCOMES.index)

    @property
    def times(self) -> int:
        """How many times it was computed again."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        """Say it in a few words, as on a badge."""
        match self.outcome:
            case "bit-exact":
                return f"bit-exact ×{self.times}"
            case "within tolerance":
                return f"within {roughly((self.deviation or {}).get('relative', 0))} ×{self.times}"
        return "different" if self.times == 1 else f"different {self.counts['different']} of {self.times} times"


def roughly(number: float) -> str:
    """Write a small number by its first digit, rounded up, as one writes a bound: 2.1e-7 is `3e-7`."""
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(number))
    digit = math.ceil(round(number / 10**exponent, 6))
    digit, exponent = (1, exponent + 1) if digit == 10 else (digit, exponent)
    return f"{digit}e{exponent}"


@dataclass(frozen=True)
class Check:
    """How one cell came out now."""

    task: Task
    outcome: Outcome | Literal["failed"]
    deviation: Deviation | None = None
    error: str = ""
    seconds: float = 0.0
    environment: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a line, without the cell."""
        if self.outcome == "failed":
            return f"failed: {self.error}"
        found = self.deviation
        if self.outcome == "different":
            return f"different: {found.where} is {found.what}" if found else "different"
        if found:
            return f"within tolerance: off by {found.absolute:.1e} ({found.relative:.1e} relative) at {found.where}"
        return self.outcome


def tasks(planner: Planner, plan: Plan, steps: Sequence[Step], settings: Mapping[str, str]) -> list[Task]:
    """Return what computes fresh *steps* of a plan again, under *settings*, variables that are set for it."""
    made = []
    for step in steps:
        inputs = {item.key: stamp for item in step.cell.stored_inputs if (stamp := plan.steps[item.key].stamp)}
        trace = planner.trace(step.cell, {key: stamp.digest for key, stamp in inputs.items()})
        traces = {key: stamp.trace for key, stamp in inputs.items()}
        made.append(Task(step.cell, trace, traces, planner.store.root, environment=settings))
    return made


def sample(steps: Sequence[Step], share: float) -> list[Step]:
    """Choose about *share* of the steps by their keys, at least one: the same ones whatever else is there."""
    if not steps:
        return []
    chosen = [step for step in steps if int(step.cell.key[:12], 16) < share * 16**12]
    return chosen or [min(steps, key=lambda step: step.cell.key)]


def verify(wanted: Sequence[Task], jobs: int) -> Iterator[Check]:
    """Compute each task again, *jobs* at a time, and give and keep how it came out, as they come."""
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(check, task) for task in wanted]
        try:
            for done in as_completed(running):
                found = done.result()
                if found.outcome != "failed":
                    _keep(found)
                yield found
        except BaseException:
            STOPPED.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            STOPPED.clear()


def check(task: Task) -> Check:
    """Compute a cell again in a clean process, and compare with the stored result. Keeps nothing."""
    started, store = time.perf_counter(), stores.at(task.root)
    scratch = store.scratch()
    try:
        found = _compared(replace(task, into=scratch), store, Store(scratch))
    except DamagedResult as error:
        found = Check(task, "failed", error=str(error))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return replace(found, task=task, seconds=round(time.perf_counter() - started, 3))


def _compared(task: Task, store: Store, other: Store) -> Check:
    stored = store.record(Stamp(task.cell.key, task.trace.id, ""))
    value = store.load(stored)
    again = recomputed(task)
    if isinstance(again, Failure):
        return Check(task, "failed", error=again.error)
    facts = {name: found for name, found in again.environment.items() if name != "git"}
    if again.digest == stored.digest:
        return Check(task, "bit-exact", environment=facts)
    deviation = compare(value, other.load(again))
    if deviation is None:  # the same values in other bytes, as when another version of a library writes them
        return Check(task, "within tolerance", Deviation("result"), environment=facts)
    return Check(task, "within tolerance" if deviation.near else "different", deviation, environment=facts)


# -- what is known of a result -------------------------------------------------------------------


def read(store: Store, stamp: Stamp) -> Verification | None:
    """Return what is known of a result from computing it again; None if that was never done."""
    try:
        found = Verification(**json.loads(_path(store, stamp.key, stamp.trace).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.digest == stamp.digest and found.times else None


def state(store: Store) -> str:
    """Return a text that is another one whenever something new was found: one file tells for all results."""
    with suppress(OSError):
        return (store.root / "index" / "verified").read_text(encoding="utf-8")
    return ""


def _path(store: Store, key: str, trace: str) -> Path:
    return store.root / "verified" / key / f"{trace}.json"


def _keep(found: Check) -> None:
    """Add one outcome to what is known of the result."""
    store, key, trace = stores.at(found.task.root), found.task.cell.key, found.task.trace.id
    record = store.find(key, trace)
    if record is None:
        return
    stamp = Stamp(key, trace, record.digest)
    before = read(store, stamp)
    counts = dict(before.counts) if before else {}
    counts[found.outcome] = counts.get(found.outcome, 0) + 1
    deviation = _worse(before.deviation if before else None, found.deviation)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    verification = Verification(record.digest, counts, deviation, when, found.environment)
    files.write_atomically(_path(store, key, trace), json.dumps(asdict(verification), indent=1).encode())
    files.write_atomically(store.root / "index" / "verified", uuid.uuid4().hex.encode())


def _worse(before: Mapping[str, Any] | None, now: Deviation | None) -> dict[str, Any] | None:
    known = [item for item in (dict(before) if before else None, asdict(now) if now else None) if item]
    return max(known, key=lambda item: (bool(item["what"]), item["excess"]), default=None)
