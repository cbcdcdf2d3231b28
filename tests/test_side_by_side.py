"""Builds side by side over one cache share the work, and outlive each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

REPOSITORY = Path(__file__).parents[1]

BUILD = """
    import sys
    from pathlib import Path
    from cells_that_share import counted, gated
    from compute.engine.build import Build
    from compute.engine.code import Code
    from compute.engine.executors import make
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    from engine_observer import Silent

    class Telling(Silent):
        def elsewhere(self, cell):
            print("elsewhere", flush=True)

    store, log = Store(Path(sys.argv[1])), sys.argv[2]
    if sys.argv[3] == "gated":
        wanted = [gated(1, log)]
    else:
        leaves = [counted(x, None, log) for x in range(12)]
        middle = [counted(100 + x, leaves[x : x + 3], log) for x in range(10)]
        wanted = [counted(1000, middle, log)]
    planner = Planner(store, Code())
    plan = planner.plan(wanted)
    print("planned", flush=True)
    input()
    results = Build(plan, planner, make("local", int(sys.argv[4])), Telling()).run()
    print(len(results.computed), results.whole)
"""


def started(store: Path, log: Path, cells: str, jobs: int = 1) -> subprocess.Popen[str]:
    """Start a build that has planned and waits for a line before it runs."""
    folders = os.pathsep.join(map(str, (REPOSITORY / "tests/engine", REPOSITORY / "tests", REPOSITORY)))
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(BUILD), str(store), str(log), cells, str(jobs)],
        env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "planned\n", process.communicate()
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def said(process: subprocess.Popen[str]) -> list[str]:
    """Return the last line, apart from what it met elsewhere."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.splitlines()[-1].split()


def test_eight_builds_at_once_compute_every_cell_once_between_them(tmp_path: Path) -> None:
    store, log = tmp_path / "cache", tmp_path / "log"
    builds = [started(store, log, "many", jobs=2 if number == 0 else 1) for number in range(8)]
    for build in builds:
        go(build)
    shares = [said(build) for build in builds]
    assert all(whole == "True" for _, whole in shares)
    assert sum(int(count) for count, _ in shares) == 23
    lines = log.read_text(encoding="utf-8").split()
    assert sorted(map(int, lines)) == [*range(12), *range(100, 110), 1000]
    assert not [path for path in (store / "leases").rglob("*") if path.is_file()]
    assert len(list(store.glob("results/*/*/*/record.json"))) == 23


def test_a_build_takes_over_from_one_that_was_killed_without_waiting(tmp_path: Path) -> None:
    store, log, gate = tmp_path / "cache", tmp_path / "log", tmp_path / "gate"
    gate.touch()
    first, second = started(store, log, "gated"), started(store, log, "gated")
    go(first)
    wait_until(log.exists)
    go(second)
    assert second.stdout is not None
    assert second.stdout.readline() == "elsewhere\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    gate.unlink()
    assert said(second) == ["1", "True"]
    assert len(log.read_text(encoding="utf-8").split()) == 2


def test_a_build_takes_what_the_other_finishes(tmp_path: Path) -> None:
    store, log, gate = tmp_path / "cache", tmp_path / "log", tmp_path / "gate"
    gate.touch()
    first, second = started(store, log, "gated"), started(store, log, "gated")
    go(first)
    wait_until(log.exists)
    go(second)
    assert second.stdout is not None
    assert second.stdout.readline() == "elsewhere\n"
    gate.unlink()
    assert [said(first), said(second)] == [["1", "True"], ["0", "True"]]
    assert len(log.read_text(encoding="utf-8").split()) == 1
