"""What only Recount is asked: its cost a cell with and without pages, and a plan of very many cells."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

import install
from contest import STATUS, Contender, contender
from measure import Run
from tools import HERE, TOOLS

Row = dict[str, str]
"""One line of the table: what was done, and figures with their units."""

RECOUNT = next(tool for tool in TOOLS if tool.is_recount)
BUILD = RECOUNT.command
TOTAL = ("python", "-m", "compute", "run", "summed/total", "--study", "bench")
"""Computes all cells and writes no page."""


def overhead(folder: Path, sizes: Iterable[int], limit: float) -> list[Row]:
    """Return what a cell costs beyond its own work: (cold − no-op) / cells, with one job and with two."""
    rows = []
    for size in sizes:
        for jobs in ("1", "2"):
            for what, command in (("engine alone", TOTAL), ("with pages", BUILD)):
                item = _laid(folder / f"overhead-{jobs}-{what}", size)
                words = (*command, "--jobs", jobs)
                cold = _run(item, words, limit)
                warm = [_run(item, STATUS if command is TOTAL else words, limit) for _ in range(3)]
                rows.append(_cost(f"{item.graph.cells:,} cells cold, --jobs {jobs}, {what}", item, cold, warm))
                print(rows[-1], flush=True)
    return rows


def planned(folder: Path, sizes: Iterable[int], limit: float) -> list[Row]:
    """Return what `status` takes over a finished study: the first reads every record, the next the index."""
    rows = []
    for size in sizes:
        item = _laid(folder / "planned", size)
        cells = f"{item.graph.cells:,} cells"
        filled = _run(item, ("python", str(HERE / "fill.py")), 10 * limit)
        rows.append(_line(f"{cells} computed in one process, one by one", [filled], item))
        rows.append(_line(f"{cells}, first `status`", [_run(item, STATUS, limit)], item))
        rows.append(_line(f"{cells}, later `status`", [_run(item, STATUS, limit) for _ in range(3)], item))
        print(*rows[-3:], sep="\n", flush=True)
    return rows


def _laid(folder: Path, size: int) -> Contender:
    item = contender(RECOUNT, install.here(RECOUNT), size, folder)
    item.lay()
    return item


def _run(item: Contender, words: tuple[str, ...], limit: float) -> Run:
    done = item.run(words, limit)
    if not done.done:
        raise SystemExit(f"{' '.join(words)}: exit {done.code}\n{done.output[-2000:]}")
    return done


def _cost(what: str, item: Contender, cold: Run, warm: list[Run]) -> Row:
    base = _middle(warm)
    row = _line(what, [cold], item, base)
    return {**row, "less no-op": f"{base[0]:.2f} s"}


def _line(what: str, runs: list[Run], item: Contender, base: tuple[float, float] = (0, 0)) -> Row:
    wall, cpu = _middle(runs)
    each = (1000 * (wall - base[0]) / item.graph.cells, 1000 * (cpu - base[1]) / item.graph.cells)
    row = {"what": what, "wall": f"{wall:.2f} s", "CPU": f"{cpu:.2f} s", "less no-op": ""}
    return {**row, "ms a cell": f"{each[0]:.3f}", "CPU ms a cell": f"{each[1]:.3f}"}


def _middle(runs: list[Run]) -> tuple[float, float]:
    """Return the medians of wall and CPU seconds."""
    return statistics.median(run.seconds for run in runs), statistics.median(run.cpu_seconds for run in runs)
