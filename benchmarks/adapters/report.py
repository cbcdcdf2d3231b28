"""Writes what was measured as Markdown for people and as JSON beside it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contest import Lane

MB = 1e6

SPEED = {"Ridge": 1000, "KernelRidge": 100}
"""Times faster than these that one tensor is to be predicted."""

SECONDS = {"global ridge": 1.0, "per-tensor ridge": 1.0, "per-tensor ridge, ΔW": 5.0}
"""CPU seconds that the whole translation may take."""

PEAK = 1500 * MB
"""Bytes that it may take, the adapters themselves among them."""


@dataclass(frozen=True)
class Report:
    """All that one run found; `differences` of predictions from Recount's, relative to their size."""

    facts: Mapping[str, Any]
    parts: Mapping[str, Sequence[Lane]]
    differences: Mapping[str, float]
    judged: bool

    def markdown(self) -> str:
        """Return the tables."""
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        tables = {"one tensor": self._one_tensor, "whole": self._whole, "training": self._training}
        found = [f"## {name.capitalize()}\n\n{tables[name](lanes)}" for name, lanes in self.parts.items()]
        return "\n\n".join(["# Translating adapters", facts, *found]) + "\n"

    def _one_tensor(self, lanes: Sequence[Lane]) -> str:
        rows, ours = [], lanes[0]
        for lane in lanes:
            ours = lane if lane.name.startswith("Recount") else ours
            rows.append(self._of_tool(lane, ours))
        return table(["", "CPU s", "wall s", "peak MB", "Recount is faster", "differs by", "wanted"], rows)

    def _of_tool(self, lane: Lane, ours: Lane) -> list[str]:
        if not lane.runs or not ours.runs:
            return [lane.name, lane.problem or "–", *["–"] * 4, self._judge(False) if lane.name in SPEED else ""]
        times = _middle(lane, "cpu") / _middle(ours, "cpu")
        wanted = f"≥ {SPEED[lane.name]:,}×: {self._judge(times >= SPEED[lane.name])}" if lane.name in SPEED else ""
        figures = [f"{_middle(lane, 'cpu'):.4g}", f"{_middle(lane, 'wall'):.4g}", f"{_peak(lane) / MB:,.0f}"]
        differs = f"{self.differences[lane.name]:.0e}" if lane.name in self.differences else ""
        return [lane.name, *figures, f"{times:,.0f}×" if lane is not ours else "", differs, wanted]

    def _whole(self, lanes: Sequence[Lane]) -> str:
        steps = ["Grams of X", "Grams of Y", "weights", "adapters"]
        rows = [self._of_way(lane, steps) for lane in lanes]
        return table(["CPU s", *steps, "in all", "wall s", "peak MB", "30 tasks, each by all others", "wanted"], rows)

    def _of_way(self, lane: Lane, steps: Sequence[str]) -> list[str]:
        if not lane.runs:
            return [lane.name, lane.problem, *["–"] * (len(steps) + 3), self._judge(False)]
        cpu, wall = ([_of_runs(lane, "steps", step, clock) for step in steps] for clock in ("cpu", "wall"))
        wanted = ""
        if most := SECONDS.get(lane.name):
            met = sum(cpu) <= most and _peak(lane) <= PEAK
            wanted = f"≤ {most:g} s, ≤ {PEAK / MB:,.0f} MB: {self._judge(met)}"
        others = _of_runs(lane, "each by all others", "cpu")
        figures = [f"{one:.3f}" for one in (*cpu, sum(cpu), sum(wall))]
        return [lane.name, *figures, f"{_peak(lane) / MB:,.0f}", f"{others:.3f}", wanted]

    def _training(self, lanes: Sequence[Lane]) -> str:
        ours = lanes[0]
        rows = []
        for lane in lanes:
            if not lane.runs or not ours.runs:
                rows.append([lane.name, lane.problem or "–", "–", "–", "–", "–"])
                continue
            same = lane.runs[-1]["digest"] == ours.runs[-1]["digest"]
            times = f"{_middle(lane, 'cpu') / _middle(ours, 'cpu'):.2f}×" if lane is not ours else ""
            figures = [f"{_middle(lane, 'cpu'):.2f}", f"{_middle(lane, 'wall'):.2f}", f"{_peak(lane) / MB:,.0f}"]
            rows.append([lane.name, *figures, times, "yes" if same else "**no**"])
        return table(["24 adapters", "CPU s", "wall s", "peak MB", "at once is faster", "the same bits"], rows)

    def _judge(self, met: bool) -> str:
        return ("met" if met else "**not met**") if self.judged else "not judged"

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data."""
        parts = {
            part: [{"name": lane.name, "problem": lane.problem, "runs": lane.runs} for lane in lanes]
            for part, lanes in self.parts.items()
        }
        return {"facts": dict(self.facts), "parts": parts, "differences": dict(self.differences)}

    def write(self, path: Path) -> None:
        """Write *path* and, beside it, the same with the suffix .json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(self.plain(), indent=1), encoding="utf-8")


def _middle(lane: Lane, clock: str) -> float:
    return statistics.median(run[clock] for run in lane.runs)


def _of_runs(lane: Lane, *path: str) -> float:
    found = []
    for run in lane.runs:
        value: Any = run
        for name in path:
            value = value[name]
        found.append(value)
    return statistics.median(found)


def _peak(lane: Lane) -> float:
    return max(run["peak"] for run in lane.runs)


def facts(peer: str, rounds: int) -> dict[str, Any]:
    """Return what the machine is, and how busy it is now."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "peft"))
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": f"{_cpu()}, {os.cpu_count()} cores, one thread",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "libraries": libraries,
        "scikit-learn": peer,
        "rounds": rounds,
        "load before": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
