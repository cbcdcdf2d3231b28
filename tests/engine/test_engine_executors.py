"""What runs beside what: memory and scarce things; and which executor a name stands for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest
from cells_for_tests import gathered
from cells_that_share import exclusive, greedy, heavy, ordinary, setting
from engine_helpers import Diary
from hypothesis import given
from hypothesis import strategies as st
from project import hear_interrupts

from compute.engine.build import Build, Results
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.executors import Processes, Serial, make
from compute.engine.history import History
from compute.engine.limits import Limits, available_memory, group_memory, taken_memory
from compute.engine.plan import Planner
from compute.engine.store import Store
from compute.errors import UsageError


class Expected(History):
    """Expects of each cell the memory that its argument says."""

    def memory(self, cell: Cell) -> int | None:
        found = cell.arguments.get("things")
        return found if isinstance(found, int) else None


def limits(store: Store, available: int, taken: int = 0, **resources: float) -> Limits:
    return Limits(Expected(store), resources, available=lambda: available, taken=lambda: taken)


@given(st.lists(st.integers(1, 100)), st.integers(1, 100), st.integers(0, 200), st.integers(0, 200))
def test_no_more_memory_is_expected_than_there_is(running: list[int], need: int, available: int, taken: int) -> None:
    fits = limits(Store(Path("nowhere")), available, taken).fits(gathered(need), map(gathered, running))
    assert fits == (not running or sum(running) + need <= available + taken or sum(running) + need <= available)


def test_of_unknown_memory_nothing_is_held_back(store: Store) -> None:
    assert limits(store, 0).fits(gathered("unknown"), [gathered(5)])
    assert limits(store, 10).fits(gathered(5), [gathered("unknown")])


def test_of_what_there_is_little_no_more_is_taken(store: Store) -> None:
    one, other = exclusive(1, ""), exclusive(2, "")
    assert limits(store, 0).fits(one, [ordinary(1)])
    assert not limits(store, 0).fits(one, [other]), "there is one, if nobody says more"
    assert limits(store, 0, gpu=2).fits(one, [other])
    assert not limits(store, 0, gpu=2).fits(greedy(1, ""), [other])
    assert limits(store, 0, gpu=1).fits(greedy(1, ""), [ordinary(1)]), "alone it may take what there is"


def test_memory_is_measured() -> None:
    assert available_memory() > 0
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert taken_memory() > 0
    child.communicate()


def test_a_container_or_batch_job_has_no_more_than_its_limit(tmp_path: Path) -> None:
    for group, most, used, files in (("", "max", 0, 0), ("job", "1000", 400, 100), ("job/step", "900", 500, 0)):
        folder = tmp_path / group
        folder.mkdir(exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")
    assert group_memory(tmp_path, "/job/step") == [400, 700]
    assert group_memory(tmp_path, "/elsewhere") == []
    assert group_memory(tmp_path / "none", "/") == []


def run(store: Store, cells: list[Cell], **settings: Any) -> Results:
    planner = Planner(store, Code())
    return Build(planner.plan(cells), planner, Processes(3), Diary(), **settings).run()


def most_at_a_time(log: str) -> int:
    lines = Path(log).read_text(encoding="utf-8").split()
    return max(lines[:end].count("begin") - lines[:end].count("end") for end in range(len(lines) + 1))


def test_cells_that_share_one_device_run_one_after_the_other(store: Store, log: str) -> None:
    cells = [exclusive(x, log) for x in range(6)]
    results = run(store, [*cells, *(ordinary(x) for x in range(6))], limits=Limits(History(store)))
    assert results.whole
    assert most_at_a_time(log) == 1


class Heavy(History):
    """Expects every cell to take the same memory."""

    def memory(self, cell: Cell) -> int | None:
        return 60


@pytest.mark.parametrize(("available", "most"), [(10, 1), (100, 1), (130, 2)])
def test_cells_that_need_much_memory_run_as_many_at_a_time_as_fit(
    store: Store, log: str, available: int, most: int
) -> None:
    limited = Limits(Heavy(store), available=lambda: available, taken=lambda: 0)
    results = run(store, [heavy(x, log) for x in range(6)], limits=limited)
    assert results.whole
    assert most_at_a_time(log) <= most


def test_settings_travel_to_the_workers_with_each_task(store: Store) -> None:
    for device in ("first", "second"):  # the workers of the first build may serve the second
        cell = setting(len(device))
        results = run(store, [cell, ordinary(1)], environment={"RECOUNT_DEVICE": device})
        assert store.load(results.records[cell.key]) == device


def test_a_name_stands_for_an_executor() -> None:
    assert isinstance(make("local", 1), Serial)
    two = make("local", 2)
    assert isinstance(two, Processes)
    two.close()
    with pytest.raises(UsageError, match="unknown executor 'cloud'"):
        make("cloud", 1)
    with pytest.raises(UsageError, match="--executor dask"):
        make("local", 1, "tcp://scheduler:8786")


BUILD = """
    import sys
    from pathlib import Path
    from cells_that_share import with_children
    from compute.engine.build import Build
    from compute.engine.code import Code
    from compute.engine.executors import make
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    from engine_helpers import Diary
    planner = Planner(Store(Path(sys.argv[1])), Code())
    cells = [with_children(x, sys.argv[2]) for x in range(int(sys.argv[3]))]
    try:
        Build(planner.plan(cells), planner, make("local", len(cells)), Diary()).run()
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGINT), (2, signal.SIGINT), (2, signal.SIGKILL)])
def test_what_a_cell_has_started_ends_with_the_build(store: Store, log: str, jobs: int, number: signal.Signals) -> None:
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    with subprocess.Popen(
        [sys.executable, "-c", dedent(BUILD), str(store.root), log, str(jobs)],
        env={**os.environ, "PYTHONPATH": folders},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as build:
        until = time.monotonic() + 60
        while len(lines := noted(log)) < jobs and time.monotonic() < until:
            time.sleep(0.05)
        started = [psutil.Process(int(number)) for line in lines for number in line.split() if int(number) != build.pid]
        assert len(started) == (2 * jobs if jobs > 1 else 1)
        build.send_signal(number)
        said, errors = build.communicate(timeout=30)
    assert not psutil.wait_procs(started, timeout=30)[1]
    if number == signal.SIGINT:
        assert (said, errors) == ("interrupted\n", "")
        assert not [path for path in (store.root / "leases").rglob("*") if path.is_file()]


def noted(log: str) -> list[str]:
    return Path(log).read_text(encoding="utf-8").splitlines() if Path(log).exists() else []
