"""One size of the graph in every tool: each step in all tools in turn, so that the machine's moods meet them all."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from graph import EDITS, Edit, Files, Graph
from install import Installed
from measure import Run, timed
from tools import Tool

STATUS = ("python", "-m", "compute", "status", "bench")


@dataclass(frozen=True)
class Measured:
    """One command of one tool."""

    seconds: float
    cpu_seconds: float
    ran: int
    """Cells that really ran: counted by the cells themselves."""
    expected: int
    """Cells that had to run."""
    right: bool
    """Whether the total is what the present config and code give."""
    load: float
    """The machine's load average over the minute before."""


@dataclass
class Contender:
    """A tool with its project at one size."""

    tool: Tool
    installed: Installed
    graph: Graph
    root: Path
    home: Path
    files: Files = field(init=False)
    steps: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    stopped: str = ""
    """Why nothing more was measured."""

    def lay(self) -> None:
        self.files = self.tool.project(self.root, self.graph, self.installed.programs)

    def run(self, words: tuple[str, ...], limit: float) -> Run:
        environment = {
            "PATH": f"{self.installed.programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "TALLY": str(self._tally),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(self.root) if self.tool.is_recount else "",
        }
        return timed(words, self.root, environment, limit)

    def step(self, name: str, expected: int, limit: float, words: tuple[str, ...] = ()) -> None:
        """Run the tool's command, or another of its own, and note what it did."""
        if self.stopped:
            return
        self._tally.write_text("", encoding="utf-8")
        load = round(os.getloadavg()[0], 2)
        done = self.run(words or self.tool.command, limit)
        if not done.done:
            last = " ".join(done.output.strip().splitlines()[-1:])[:200]
            self.stopped = f"{name}: " + (f"> {limit:g} s" if done.code is None else f"exit {done.code}: {last}")
            return
        ran = len(self._tally.read_text(encoding="utf-8").split())
        right = bool(words) or self.tool.total(done.output, self.root) == self.graph.total
        if not right and name in ("cold", "no-op"):
            self.stopped = f"{name}: a wrong total before any edit"
        self.steps[name].append(Measured(done.seconds, done.cpu_seconds, ran, expected, right, load))

    @property
    def _tally(self) -> Path:
        return self.home / f"{self.root.name}.tally"

    def median(self, step: str) -> float | None:
        """Return the median wall seconds of a step, or None if it was not measured."""
        found = self.steps.get(step)
        return statistics.median(item.seconds for item in found) if found else None


@dataclass(frozen=True)
class Effort:
    """How often, and how long at most."""

    repeats: int
    edits: int
    limit: float
    steps: tuple[str, ...]


def contest(tools: dict[Tool, Installed], size: int, effort: Effort, folder: Path) -> list[Contender]:
    """Measure one size; say on the way what is done."""
    contenders = [contender(tool, installed, size, folder) for tool, installed in tools.items()]
    for item in contenders:
        item.lay()
        item.step("cold", item.graph.cells, effort.limit)
        _tell(item, size, "cold")
    for _ in range(effort.repeats):
        for item in contenders:
            item.step("no-op", 0, effort.limit)
            if item.tool.is_recount:
                item.step("status", 0, effort.limit, STATUS)
    for item in contenders:
        _tell(item, size, "no-op")
    for edit in EDITS:
        if edit.name in effort.steps:
            _edited(contenders, edit, effort)
            for item in contenders:
                _tell(item, size, edit.name)
    return contenders


def works(tool: Tool, installed: Installed, folder: Path, limit: float) -> str:
    """Try the tool with ten cells: also warms what is read from the disk. Return what went wrong, or nothing."""
    item = contender(tool, installed, 10, folder / "try")
    item.lay()
    item.step("cold", item.graph.cells, limit)
    if item.stopped:
        return f"with ten cells, {item.stopped}"
    first = item.steps["cold"][0]
    return "" if first.ran == first.expected else f"with ten cells, ran {first.ran} of {first.expected}"


def contender(tool: Tool, installed: Installed, size: int, folder: Path) -> Contender:
    """Return a tool with the place of its project, in which nothing lies yet."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    return Contender(tool, installed, Graph(size), _made(folder / f"{tool.distribution}-{size}", tool), home)


def _made(root: Path, tool: Tool) -> Path:
    if not tool.is_recount:  # whose folder is a copy
        root.mkdir(parents=True)
    return root


def _edited(contenders: list[Contender], edit: Edit, effort: Effort) -> None:
    for _ in range(effort.edits):
        for item in contenders:
            if not item.stopped:
                item.files.edit(edit, item.graph)
                item.step(edit.name, edit.reruns(item.graph), effort.limit)


def _tell(item: Contender, size: int, step: str) -> None:
    seconds = item.median(step)
    print(f"{size:>6} {step:<8} {item.tool.name:<14} " + (f"{seconds:8.2f} s" if seconds else item.stopped), flush=True)
