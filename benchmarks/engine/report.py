"""Writes what was measured as Markdown for people and as JSON beside it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contest import Contender, Measured
from graph import EDITS
from install import Installed
from tools import REPOSITORY, Tool

TITLES = {"cold": "cold", "no-op": "no-op"} | {edit.name: edit.title for edit in EDITS}


@dataclass
class Report:
    """All that one run found."""

    installed: dict[Tool, Installed]
    absent: dict[str, str] = field(default_factory=dict)
    sizes: dict[int, list[Contender]] = field(default_factory=dict)
    alone: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the tables."""
        parts = ["# Recount and its peers, in one run", _facts(self.facts)]
        for size, contenders in self.sizes.items():
            graph = contenders[0].graph
            title = f"## {size:,} values: {graph.cells:,} cells"
            parts += [title, _load(contenders), _seconds(contenders), _truth(contenders)]
        parts += [_alone(self.alone)] if self.alone else []
        return "\n\n".join([*parts, _notes(self)]) + "\n"

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "facts": self.facts,
            "versions": {tool.name: found.version for tool, found in self.installed.items()},
            "absent": self.absent,
            "sizes": {size: [_plain(item) for item in found] for size, found in self.sizes.items()},
            "alone": self.alone,
        }

    def write(self, path: Path) -> None:
        """Write *path* and, beside it, the same with the suffix .json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(self.plain(), indent=1), encoding="utf-8")


def facts() -> dict[str, Any]:
    """Return what the machine is, and how busy it is now."""
    git = ["git", "-C", str(REPOSITORY)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() + (" with changes" if changes.stdout.strip() else ""),
        "load before": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _facts(facts: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _plain(item: Contender) -> dict[str, Any]:
    steps = {name: [asdict(one) for one in found] for name, found in item.steps.items()}
    return {"tool": item.tool.name, "stopped": item.stopped, "steps": steps}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _load(contenders: list[Contender]) -> str:
    found = [one.load for item in contenders for step in item.steps.values() for one in step]
    return f"Load average while measured: {min(found):.1f} to {max(found):.1f}." if found else ""


def _seconds(contenders: list[Contender]) -> str:
    """Return wall seconds: medians, in brackets how many times Recount's."""
    recount = next((item for item in contenders if item.tool.is_recount), None)
    rows = [[item.tool.name, *(_cell(item, step, recount) for step in TITLES)] for item in contenders]
    status = recount.median("status") if recount else None
    rows += [["Recount, `status`", "", f"{status:.2f}", "", "", "", ""]] if status else []
    header = table(["wall seconds (× Recount)", *TITLES.values()], rows)
    lines = [_spread(item) for item in contenders if item.steps.get("no-op")]
    lines += [f"- {item.tool.name} was left out after {item.stopped}" for item in contenders if item.stopped]
    return "\n".join([header, "", *lines])


def _cell(item: Contender, step: str, recount: Contender | None) -> str:
    """Return seconds and ratio; a stale answer, however quick, is compared with nothing."""
    seconds, base = item.median(step), recount.median(step) if recount else None
    if seconds is None:
        return item.stopped.partition(": ")[2][:20] if item.stopped.startswith(f"{step}:") else "–"
    if not all(one.right for one in item.steps[step]):
        return f"{seconds:.2f} stale"
    return f"{seconds:.2f}" + (f" ({seconds / base:.1f}×)" if base and item is not recount else "")


def _spread(item: Contender) -> str:
    found = [one.seconds for one in item.steps["no-op"]]
    cpu = min(one.cpu_seconds for one in item.steps["no-op"])
    spread = f"{len(found)} no-ops between {min(found):.2f} and {max(found):.2f} s"
    return f"- {item.tool.name}: {spread}, least CPU {cpu:.2f} s"


def _truth(contenders: list[Contender]) -> str:
    """Return for each edit how many cells ran, and whether the total was then right."""
    rows = [[item.tool.name, *(_verdict(item.steps.get(edit.name, [])) for edit in EDITS)] for item in contenders]
    header = ["cells run after an edit of", *(TITLES[edit.name] for edit in EDITS)]
    return table(header, [["*had to run*", *_needed(contenders)], *rows])


def _needed(contenders: list[Contender]) -> list[str]:
    return [f"*{edit.reruns(contenders[0].graph):,}*" for edit in EDITS]


def _verdict(found: list[Measured]) -> str:
    if not found:
        return "–"
    ran = " / ".join(sorted({f"{one.ran:,}" for one in found}))
    return ran if all(one.right for one in found) else f"{ran} **stale**"


def _alone(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    body = [[str(row.get(name, "")) for name in names] for row in rows]
    return "## Recount alone\n\n" + table(names, body)


def _notes(report: Report) -> str:
    lines = ["## How each was set up", ""]
    for tool, found in report.installed.items():
        command = " ".join(tool.command)
        lines.append(f"- **{tool.name}** {found.version}, `{command}`; runs cells in: {tool.workers}. {tool.note}")
    lines += [f"- **{name}** is not measured: {why}" for name, why in report.absent.items()]
    return "\n".join(lines)
