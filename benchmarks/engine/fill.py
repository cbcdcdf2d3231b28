"""Computes every cell of the benchmark's study in this one process: the quickest way to a full store.

Run in the folder of the project.
"""

from __future__ import annotations

from pathlib import Path

from compute.engine.record import Record
from compute.engine.store import Failure
from compute.engine.work import Task, run
from compute.session import Session


def main() -> None:
    session = Session(Path.cwd())
    session.open(["bench"], "mini")
    planner = session.planner()
    done: dict[str, Record] = {}
    for cell in session.opened[0].cells:
        inputs = {item.key: done[item.key] for item in cell.stored_inputs}
        trace = planner.trace(cell, {key: record.digest for key, record in inputs.items()})
        found = run(Task(cell, trace, {key: record.trace.id for key, record in inputs.items()}, session.store.root))
        if isinstance(found, Failure):
            raise SystemExit(f"{found.name}: {found.error}")
        done[cell.key] = found
    print(f"{len(done)} cells")


if __name__ == "__main__":
    main()
