"""One merge by every tool: in turn, round after round, so that a busy minute meets them all."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lanes import HERE, Lane, Merge, Place, environment, lanes
from measure import Run, timed

BLOCK = 1 << 24


@dataclass
class Contender:
    """A lane with what was measured of it."""

    lane: Lane
    runs: list[Run] = field(default_factory=list)
    stopped: str = ""
    """Why nothing more was measured."""

    def median(self, of: Callable[[Run], float]) -> float | None:
        """Return the median of a figure, or None if it was not measured."""
        return statistics.median(map(of, self.runs)) if self.runs else None


@dataclass
class Contest:
    """One merge of checkpoints of one dtype."""

    merge: Merge
    dtype: str
    contenders: list[Contender]
    agreement: dict[str, Any] = field(default_factory=dict)
    """How Recount's and mergekit's results compare; empty where they were not compared."""


def contest(merge: Merge, place: Place, tools: list[str], rounds: int, limit: float) -> Contest:
    """Measure one merge; say on the way what is done."""
    made = Contest(merge, place.dtype, [Contender(lane) for lane in lanes(merge, place) if lane.tool in tools])
    for number in range(rounds + 1):
        for item in made.contenders:
            if not item.stopped:
                _turn(made, item, place, number, limit)
    shutil.rmtree(place.work / "out", ignore_errors=True)  # a result that waited for one that never came
    return made


def _turn(made: Contest, item: Contender, place: Place, number: int, limit: float) -> None:
    """Let one lane merge once: round 0 warms up, and leaves its result for the comparison."""
    out = _result(place, item.lane)
    shutil.rmtree(out, ignore_errors=True)
    item.lane.prepare()
    _warm(place.inputs(made.merge))
    os.sync()  # what the one before wrote is no business of this one
    done = timed(item.lane.command(out), place.work / "log.txt", environment(item.lane), limit, place.work)
    if not done.done:
        item.stopped = done.problem
    elif number:
        item.runs.append(done)
    else:
        _compare(made, place)
    what = item.stopped or f"{done.seconds:8.2f} s {done.cpu_seconds:8.2f} s CPU {done.peak_bytes / 1e6:8.0f} MB"
    when = f"round {number}" if number else "warm-up"
    print(f"{place.dtype} {made.merge.name:<10} {when:<8} {item.lane.name:<36} {what}", flush=True)
    if number or not _compared_later(made, item):
        shutil.rmtree(out, ignore_errors=True)


def _result(place: Place, lane: Lane) -> Path:
    return place.work / "out" / "".join(letter if letter.isalnum() else "-" for letter in lane.name)


def _warm(files: Iterable[Path]) -> None:
    """Read what will be read, so that all find it in the page cache, which a tool that needs much memory empties."""
    block = bytearray(BLOCK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def _compared_later(made: Contest, item: Contender) -> bool:
    """Whether this result has to wait for mergekit's, which comes after it."""
    names = [other.lane.tool for other in made.contenders]
    return item.lane is _ours(made) and "mergekit" in names and not made.agreement


def _compare(made: Contest, place: Place) -> None:
    """Compare Recount's first result with mergekit's, once both are there: neither draws lots."""
    theirs = next((item.lane for item in made.contenders if item.lane.tool == "mergekit"), None)
    ours = _ours(made)
    if not ours or not theirs or made.merge.name == "dare_ties":
        return
    folders = _result(place, ours), _result(place, theirs)
    if all(folder.exists() for folder in folders):
        command = [sys.executable, str(HERE / "agree.py"), *map(str, folders)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        made.agreement = json.loads(found.stdout) if found.returncode == 0 else {"problem": found.stderr[-300:]}
        shutil.rmtree(folders[0], ignore_errors=True)


def _ours(made: Contest) -> Lane | None:
    return next((item.lane for item in made.contenders if item.lane.tool == "Recount"), None)
