"""Writes what was measured, and whether the targets are met, as Markdown for people and as JSON beside it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contest import Contender, Contest
from fill import checkpoint_bytes, parameters
from lanes import REPOSITORY, SEVERAL
from measure import Run

SPEED = {"average": 5.0, "dare_ties": 20.0, "ties": 40.0}
"""How many times mergekit's speed is aimed at."""
KNOWN_SPEED = 80.0
"""The same for TIES where thresholds are known from before."""
PEAK = 250e6
"""Bytes that a merge may need at most."""
REAL = "XLM-R-base's size"
TO_FLOOR = 2.0
"""How many times the floor's time an average may take at most."""

SECONDS: Callable[[Run], float] = lambda run: run.seconds  # noqa: E731
CPU: Callable[[Run], float] = lambda run: run.cpu_seconds  # noqa: E731
MEMORY: Callable[[Run], float] = lambda run: run.peak_bytes  # noqa: E731


@dataclass
class Report:
    """All that one run found."""

    facts: dict[str, Any]
    problem: str = ""
    """Why mergekit was not measured."""
    judged: bool = True
    """Whether the models have the size for which the targets were set."""
    contests: list[Contest] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the tables."""
        parts = ["# Recount's merges beside mergekit and peft, in one run", _facts(self.facts)]
        parts += [f"mergekit was not measured: {self.problem}."] if self.problem else []
        parts += [
            "## Targets",
            _targets(self.contests) if self.judged else f"Set for models of {REAL}, which these are not.",
        ]
        for found in self.contests:
            parts += [f"## {found.merge.title}, {found.dtype}", _table(found), _notes(found), self._one_by_one(found)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _one_by_one(self, found: Contest) -> str:
        """Return what the merges of *found* took one by one, as far as they were measured too."""
        if found.merge.name != "several":
            return ""
        others = [other for other in self.contests if other.dtype == found.dtype and other.merge.name in SEVERAL]
        lines = []
        for tool in ("Recount", "mergekit"):
            seconds = [
                _like(SEVERAL[other.merge.name], _all(other, tool)).median(SECONDS)
                for other in others
                if _all(other, tool)
            ]
            if len(seconds) == len(SEVERAL) and None not in seconds:
                lines.append(f"One by one: {tool} {sum(filter(None, seconds)):.2f} s.")
        return "\n\n".join(lines)

    def write(self, path: Path) -> None:
        """Write *path* and, beside it, the same with the suffix .json."""
        self.facts["load after"] = [round(value, 2) for value in os.getloadavg()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")
        plain = {"facts": self.facts, "problem": self.problem, "contests": [_plain(found) for found in self.contests]}
        path.with_suffix(".json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def facts(theirs: str, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return what the figures depend on."""
    sizes = ", ".join(f"{checkpoint_bytes(work / dtype / 'base') / 1e9:.3f} GB {dtype}" for dtype in options.dtypes)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    changes = subprocess.run(["git", "status", "--porcelain"], cwd=REPOSITORY, capture_output=True, text=True)
    return {
        "models": f"base and 4 experts of {parameters(work / options.dtypes[0] / 'base'):,} parameters; {sizes}",
        "device": options.device + (f": {_gpu()}" if options.device != "cpu" else ""),
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "Recount": (commit.stdout.strip() or "no commit") + (" with changes" if changes.stdout.strip() else ""),
        "beside Recount": ", ".join(f"{name} {_version(name)}" for name in ("numpy", "numba", "torch", "peft")),
        "mergekit's environment": theirs or "none",
        "rounds": f"{options.rounds}, after one warm-up; medians",
        "load before": [round(value, 2) for value in os.getloadavg()],
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(found: Contest) -> str:
    theirs, floor = _of(found, "mergekit"), _of(found, "the floor")
    header = ["", "wall, s", "CPU, s", "peak, MB", "× mergekit's speed", "× the floor's time", "wall, least to most"]
    return table(header, [_row(item, theirs, floor) for item in found.contenders])


def _row(item: Contender, theirs: Contender | None, floor: Contender | None) -> list[str]:
    seconds, cpu, peak = item.median(SECONDS), item.median(CPU), item.median(MEMORY)
    if seconds is None or cpu is None or peak is None:
        return [item.lane.name, item.stopped or "–", *["–"] * 5]
    spread = f"{min(map(SECONDS, item.runs)):.2f} to {max(map(SECONDS, item.runs)):.2f}"
    ratios = [_ratio(theirs, item), _ratio(item, floor)]
    return [item.lane.name, f"{seconds:.2f}", f"{cpu:.2f}", f"{peak / 1e6:,.0f}", *map(_times, ratios), spread]


def _targets(contests: list[Contest]) -> str:
    """Return every target with what was measured, and whether it is met: one that could not be measured is not."""
    rows = [row for found in contests for row in (*_speeds(found), *_to_floor(found), *_peaks(found))]
    return table(["target", "measured", "met"], rows) if rows else "None of these merges has one."


def _speeds(found: Contest) -> list[list[str]]:
    theirs = _of(found, "mergekit")
    rows = []
    for item in _all(found, "Recount"):
        wanted = KNOWN_SPEED if "thresholds known" in item.lane.how else SPEED.get(found.merge.name)
        if wanted and theirs and found.merge.name in SPEED:
            ratio = _ratio(theirs, item)
            rows.append(
                [
                    f"{_name(found, item)}: ≥ {wanted:g}× mergekit's speed",
                    _times(ratio),
                    _met(ratio and ratio >= wanted),
                ]
            )
    return rows


def _to_floor(found: Contest) -> list[list[str]]:
    if found.merge.name != "average":
        return []
    ratios = [(item, _ratio(item, _of(found, "the floor"))) for item in _all(found, "Recount")]
    what = f"≤ {TO_FLOOR:g}× the floor's time"
    return [
        [f"{_name(found, item)}: {what}", _times(ratio), _met(ratio and ratio <= TO_FLOOR)] for item, ratio in ratios
    ]


def _peaks(found: Contest) -> list[list[str]]:
    peaks = [(item, max((run.peak_bytes for run in item.runs), default=None)) for item in _all(found, "Recount")]
    what = f"peak ≤ {PEAK / 1e6:.0f} MB in every round"
    return [
        [f"{_name(found, item)}: {what}", f"{peak / 1e6:,.0f} MB" if peak else "–", _met(peak and peak <= PEAK)]
        for item, peak in peaks
    ]


def _notes(found: Contest) -> str:
    loads = [run.load for item in found.contenders for run in item.runs]
    lines = [f"Load average while measured: {min(loads):.1f} to {max(loads):.1f}."] if loads else []
    told = found.agreement
    if "problem" in told:
        lines.append(f"The results could not be compared: {told['problem']}")
    elif told:
        differ = f"{told['differ']:,} of {told['entries']:,} entries differ, by {told['largest']:.1e} at most"
        lines.append(f"Recount's result beside mergekit's: {differ}.")
    lines += [f"{item.lane.name} was left out: {item.stopped}." for item in found.contenders if item.stopped]
    return "\n\n".join(lines)


def _of(found: Contest, tool: str) -> Contender | None:
    return next((item for item in found.contenders if item.lane.tool == tool), None)


def _all(found: Contest, tool: str) -> list[Contender]:
    return [item for item in found.contenders if item.lane.tool == tool]


def _like(said: Mapping[str, Any], contenders: list[Contender]) -> Contender:
    """Return the one that does what *said* does, with the files known: the last such of DARE, the first of others."""
    known = [item for item in contenders if item.lane.how.startswith("files known")] or contenders
    return known[-1 if "dare" in said else 0]


def _name(found: Contest, item: Contender) -> str:
    return f"{found.merge.title}, {found.dtype}, {item.lane.how}"


def _ratio(slower: Contender | None, faster: Contender | None) -> float | None:
    above, below = (item and item.median(SECONDS) for item in (slower, faster))
    return above / below if above and below else None


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1f}×"


def _met(holds: object) -> str:
    return "met" if holds else "**not met**"


def _plain(found: Contest) -> dict[str, Any]:
    lanes = [
        {"lane": item.lane.name, "stopped": item.stopped, "runs": [{**asdict(run), "output": ""} for run in item.runs]}
        for item in found.contenders
    ]
    return {"merge": found.merge.name, "dtype": found.dtype, "agreement": found.agreement, "lanes": lanes}


def _facts(facts: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpu() -> str:
    """Return the accelerator's name, asked in another process: this one has to stay small."""
    script = "import torch; print(torch.cuda.get_device_name())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
