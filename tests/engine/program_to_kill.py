"""A build of some sixty small cells as a program: `program_to_kill.py STORE LOG NUMBER JOBS` prints the total."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cells_for_tests import note
from engine_helpers import Builder

from compute.engine.cell import Cell, cell
from compute.engine.executors import Processes, Serial
from compute.engine.leases import Leases
from compute.engine.store import Store


@cell(label="{number}/{x}")
def piece(number: int, x: int, log: str) -> dict[str, object]:
    """Take a few milliseconds, and keep enough that writing takes some as well."""
    note(log, f"{number} piece {x}")
    time.sleep(0.005 * (x % 5))
    return {"value": x * x, "text": f"{x} " * 30_000}


@cell(label="{number}/{n}")
def part(number: int, n: int, pieces: Sequence[dict[str, int]], log: str) -> int:
    note(log, f"{number} part {n}")
    return sum(piece["value"] for piece in pieces)


@cell(label="{number}")
def whole(number: int, parts: Sequence[int], log: str) -> int:
    note(log, f"{number} whole")
    return sum(parts)


def graph(number: int, log: str) -> Cell:
    pieces = [piece(number, x, log) for x in range(50)]
    parts = [part(number, n, pieces[n : n + 5], log) for n in range(0, 50, 5)]
    return whole(number, parts, log)


def main(folder: str, log: str, number: str, jobs: str) -> None:
    store = Store(Path(folder))
    store.sweep()
    Leases(store.root).sweep()
    wanted = graph(int(number), log)
    results = Builder(store)(wanted, executor=Processes(int(jobs)) if jobs != "1" else Serial())
    sys.stdout.write(str(store.load(results.records[wanted.key])))


if __name__ == "__main__":
    # Under the name by which workers know it, so that cells can travel to them.
    import program_to_kill

    program_to_kill.main(*sys.argv[1:])
