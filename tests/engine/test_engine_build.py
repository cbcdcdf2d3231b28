from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cells_for_tests import (
    Text,
    added,
    appended,
    doubled,
    dying,
    failing,
    first_of,
    gathered,
    halved,
    identifier,
    interrupted,
    leaving,
    length,
    napping,
    number,
    seeded,
    sign,
    summed,
    threads,
    unkeepable,
)
from engine_helpers import Builder, Diary, Package
from project import hear_interrupts

from compute.engine.build import Build, Results
from compute.engine.cell import Cell, cell
from compute.engine.code import Code
from compute.engine.executors import ONE_THREAD, Executor, Outcome, Processes, Serial, local
from compute.engine.leases import Leases
from compute.engine.plan import Plan, Planner, Step
from compute.engine.results import present_results
from compute.engine.store import Store
from compute.engine.work import Task, run

KINDS = {"serial": Serial, "processes": lambda: Processes(2)}


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made = KINDS[request.param]()
    yield made
    made.close()


def ran(log: str) -> list[str]:
    """The lines of the log since the last look, sorted."""
    path = Path(log)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(lines)


def damage(store: Store, results: Results, cell: Cell) -> None:
    record = results.records[cell.key]
    (store.folder(record.key, record.trace.id) / "value.json").write_text("0", encoding="utf-8")


# -- what both executors do ----------------------------------------------------------------------------------


def test_a_build_runs_everything_once_and_a_second_nothing(build: Builder, log: str, executor: Executor) -> None:
    one, two = number(1, log), number(2, log)
    top = added(doubled(one, log), added(one, two, log), log)
    results = build(top, executor=executor)
    assert build.store.load(results.records[top.key]) == 5
    assert ran(log) == ["added", "added", "doubled", "number 1", "number 2"]
    assert results.whole
    again = build(top)
    assert again.records == results.records
    assert ran(log) == []
    assert build.diary == Diary()


def test_after_a_changed_argument_only_the_dependents_run(build: Builder, log: str) -> None:
    one, two = number(1, log), number(2, log)
    build(added(doubled(one, log), sign(two, log), log))
    ran(log)
    assert build.value(added(doubled(one, log), sign(number(3, log), log), log)) == 3
    assert ran(log) == ["added", "number 3", "sign"]


def test_a_failing_cell_blocks_its_dependents_alone_and_is_retried(
    build: Builder, log: str, executor: Executor
) -> None:
    bad = failing(number(1, log), log)
    blocked = doubled(bad, log)
    top, other = added(blocked, number(2, log), log), doubled(number(3, log), log)
    results = build(top, other, executor=executor)
    assert build.diary.failed_ == [bad.name]
    assert set(build.diary.blocked_) == {(blocked.name, bad.name), (top.name, blocked.name)}
    assert set(results.failures) == {bad.key}
    assert {key: by.key for key, by in results.blocked.items()} == {
        blocked.key: bad.key,
        top.key: blocked.key,
    }
    assert build.store.load(results.records[other.key]) == 6
    assert not results.whole
    kept = build.store.failure(bad.key)
    assert kept is not None
    assert (kept.error, kept.attempts, kept.name[:8]) == ("ValueError: not mended yet", 1, "failing/")
    assert 'raise ValueError("not mended yet")' in kept.traceback
    ran(log)
    build(top, other)
    assert ran(log) == ["failing"]
    kept = build.store.failure(bad.key)
    assert kept is not None
    assert kept.attempts == 2
    Path(log).with_name("mended").touch()
    assert build.value(top) == 4
    assert build.store.failure(bad.key) is None


def test_a_damaged_input_is_computed_again_in_the_same_build(build: Builder, log: str, executor: Executor) -> None:
    one = number(1, log)
    deep = doubled(one, log)
    before = build(deep)
    damage(build.store, before, one)
    damage(build.store, before, deep)
    ran(log)
    tops = [added(deep, x, log) for x in range(4)]
    results = build(*tops, executor=executor)
    assert [build.store.load(results.records[top.key]) for top in tops] == [2, 3, 4, 5]
    lines = ran(log)
    assert (lines.count("number 1"), lines.count("doubled"), lines.count("added")) == (1, 1, 4)
    assert len(list((build.store.root / "quarantine").iterdir())) == 2
    assert results.whole
    assert results.records[deep.key].digest == before.records[deep.key].digest
    assert all(build.store.failure(top.key) is None for top in tops)


def test_a_result_that_is_damaged_whenever_it_is_read_ends_as_a_failure(
    build: Builder, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = number(1, log)
    top = doubled(one, log)
    load = Store.load

    def spoilt(self: Store, record: Any) -> Any:
        (self.folder(record.key, record.trace.id) / "value.json").write_text("0", encoding="utf-8")
        return load(self, record)

    monkeypatch.setattr(Store, "load", spoilt)
    results = build(top)
    assert results.failures[top.key].error.startswith("DamagedResult: number/1: stored result")
    assert ran(log) == ["number 1", "number 1"]


def test_a_cell_that_leaves_the_process_is_a_failure(build: Builder, log: str, executor: Executor) -> None:
    bad, good = leaving(1), number(1, log)
    results = build(bad, good, executor=executor)
    assert results.failures[bad.key].error == "SystemExit: leaving 1"
    assert good.key in results.records


def test_a_result_that_cannot_be_kept_is_a_failure(build: Builder, executor: Executor) -> None:
    bad = unkeepable()
    results = build(bad, executor=executor)
    assert results.failures[bad.key].error.startswith("CodecError: result.inner[1]: a builtins.set is not kept")


def test_seeds_depend_on_no_order_and_no_process(build: Builder, executor: Executor) -> None:
    cells = [seeded(7, name) for name in "abc"]
    results = build(*reversed(cells), executor=executor)
    assert [build.store.load(results.records[cell.key]) for cell in cells] == [cell.seed for cell in cells]


def test_inputs_arrive_in_place_of_their_cells(build: Builder, log: str, executor: Executor) -> None:
    things = {"list": [number(1, log), (halved(number(3, log), log), "x")], "plain": 5}
    top = gathered(things)
    results = build(top, executor=executor)
    assert build.store.load(results.records[top.key]) == "{'list': [1, (1.5, 'x')], 'plain': 5}"


def test_a_lazy_input_is_not_loaded_before_it_is_asked_for(build: Builder, log: str, executor: Executor) -> None:
    parts = {"a": number(1, log), "b": number(2, log), "c": halved(number(3, log), log)}
    damage(build.store, build(*(parts[name] for name in "ab")), parts["b"])
    ran(log)
    top, inline = first_of(parts, "a"), first_of(parts, "c")
    results = build(top, inline, executor=executor)
    assert [build.store.load(results.records[cell.key]) for cell in (top, inline)] == [1, 1.5]
    assert ran(log) == ["halved", "number 3"]


def test_what_is_not_kept_is_computed_once_in_each_cell_that_needs_it(build: Builder, log: str) -> None:
    inside = halved(number(4, log), log)
    top = summed([inside, inside, doubled(inside, log)], 0)
    assert build.value(top) == 8.0
    assert ran(log) == ["doubled", "halved", "halved", "number 4"]
    assert {record.function for record in build.store.all()} == {"number", "doubled", "summed"}


def test_a_file_that_changes_during_the_build_fails_the_cell(
    build: Builder, tmp_path: Path, executor: Executor
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("abc", encoding="utf-8")
    before = appended(Text(data))
    results = build(before, executor=executor)
    assert "changed during the build; build again" in results.failures[before.key].error
    again = length(Text(data))
    assert build.value(again) == len(data.read_text(encoding="utf-8"))


# -- early cutoff and force ----------------------------------------------------------------------------------

CHAIN = """
    from compute.engine.cell import cell
    from cells_for_tests import note

    def helper(x):
        return abs(x)

    @cell()
    def first(x, log):
        note(log, "first")
        return helper(x)

    @cell()
    def second(x, log):
        note(log, "second")
        return x + 1

    @cell()
    def third(x, log):
        note(log, "third")
        return x + 2
"""


def test_an_upstream_cell_that_gives_the_same_result_stops_there(build: Builder, package: Package, log: str) -> None:
    package.write("cells", CHAIN)
    cells = package.load()
    top = cells.third(cells.second(cells.first(-3, log), log), log)
    results = build(top)
    ran(log)
    package.edit("cells", "abs(x)", "max(x, -x)")
    again = build(top)
    assert ran(log) == ["first"]
    assert build.diary.reused_ == ["second", "third"]
    assert build.diary.finished_ == ["first"]
    assert again.records[top.key] == results.records[top.key]
    assert build(top).whole
    assert ran(log) == []


def test_a_changed_result_runs_the_next_and_stops_where_it_is_the_same(
    build: Builder, package: Package, log: str
) -> None:
    package.write("cells", CHAIN)
    cells = package.load()
    one = cells.first(3, log)
    top = doubled(sign(one, log), log)
    build(top)
    ran(log)
    package.edit("cells", "abs(x)", "abs(x) + 1")
    cells.helper.__code__ = (lambda x: abs(x) + 1).__code__
    results = build(top)
    assert ran(log) == ["first", "sign"]
    assert build.diary.reused_ == [top.name]
    assert build.store.load(results.records[one.key]) == 4


def test_a_switch_back_to_earlier_code_runs_nothing(build: Builder, package: Package, log: str) -> None:
    package.write("cells", CHAIN)
    cells = package.load()
    top = cells.second(cells.first(3, log), log)
    build(top)
    package.edit("cells", "x + 1", "x + 1.0")
    build(top)
    ran(log)
    package.edit("cells", "x + 1.0", "x + 1")
    build(top)
    assert ran(log) == []


def test_a_forced_cell_runs_and_its_dependents_do_not_if_it_gives_the_same(build: Builder, log: str) -> None:
    one = number(1, log)
    top = doubled(one, log)
    build(top)
    ran(log)
    build(top, forced=(one,))
    assert ran(log) == ["number 1"]
    assert build.diary.reused_ == [top.name]


def test_a_forced_cell_that_gives_another_result_replaces_it_and_runs_its_dependents(
    build: Builder, package: Package, log: str
) -> None:
    package.write("cells", CHAIN)
    cells = package.load()
    one = cells.first(3, log)
    top = cells.second(one, log)
    build(top)
    ran(log)
    cells.helper.__code__ = (lambda x: 10).__code__
    results = build(top, forced=(one,))
    assert ran(log) == ["first", "second"]
    assert build.store.load(results.records[top.key]) == 11
    assert len(build.store.others(one.key)) == 1


# -- the executors' own --------------------------------------------------------------------------------------


def test_processes_are_other_processes_with_one_thread_each(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    cell, other = identifier(), threads(1)
    results = build(cell, other, executor=Processes(2))
    assert build.store.load(results.records[cell.key]) != os.getpid()
    assert build.store.load(results.records[other.key]) == "1"


def test_one_job_runs_here_and_more_run_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ONE_THREAD:
        monkeypatch.setenv(name, "9")
    assert isinstance(local(1), Serial)
    assert {os.environ[name] for name in ONE_THREAD} == {"1"}
    two = local(2)
    assert isinstance(two, Processes)
    assert two.width == 2
    two.close()


def test_a_worker_that_dies_fails_its_own_cell_alone(build: Builder, log: str) -> None:
    bad = dying(1)
    good = [doubled(number(x, log), log) for x in range(6)]
    blocked, beside = gathered(bad), [napping(x) for x in range(2)]
    results = build(bad, *beside, blocked, *good, executor=Processes(2))
    assert "Terminated" in results.failures[bad.key].error
    assert results.blocked == {blocked.key: bad}
    assert [build.store.load(results.records[cell.key]) for cell in good] == [0, 2, 4, 6, 8, 10]
    assert [build.store.load(results.records[cell.key]) for cell in beside] == [0, 1]
    kept = build.store.failure(bad.key)
    assert kept is not None
    assert kept.attempts == 1


def test_a_cell_that_other_processes_cannot_find_is_a_failure(build: Builder, log: str) -> None:
    @cell()
    def nested(x: int) -> int:
        return x

    bad, good = nested(1), number(1, log)
    results = build(bad, good, executor=Processes(2))
    assert set(results.failures) == {bad.key}
    assert set(results.records) == {good.key}


class Closing(Serial):
    """Runs here, and notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_an_interrupt_closes_the_executor_and_keeps_what_was_finished(build: Builder, log: str) -> None:
    executor, one = Closing(), number(1, log)
    with pytest.raises(KeyboardInterrupt):
        build(one, interrupted(), executor=executor)
    assert executor.closed
    assert Planner(build.store, Code()).plan([one]).to_run == []
    assert build.store.failure(interrupted().key) is None
    assert list((build.store.root / "tmp").iterdir()) == []


INTERRUPTED = """
    import sys
    from pathlib import Path
    from cells_for_tests import sleeping
    from compute.engine.build import Build
    from compute.engine.code import Code
    from compute.engine.executors import Processes
    from compute.engine.plan import Planner
    from compute.engine.store import Store
    from engine_helpers import Diary
    root, log = Path(sys.argv[1]), sys.argv[2]
    planner = Planner(Store(root), Code())
    try:
        Build(planner.plan([sleeping(x, log) for x in range(2)]), planner, Processes(2), Diary()).run()
    except KeyboardInterrupt:
        print("interrupted")
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2]


def test_an_interrupt_ends_the_workers_at_once(store: Store, log: str) -> None:
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", dedent(INTERRUPTED), str(store.root), log]
    environment = {**os.environ, "PYTHONPATH": folders}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as running:
        until = time.monotonic() + 50
        while len(workers := ran_so_far(log)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        said, errors = running.communicate(timeout=20)
    assert (said, errors) == ("interrupted\n", "")
    assert len(workers) == 2
    assert not any(alive(int(worker)) for worker in workers)
    assert store.sweep() == 0


def ran_so_far(log: str) -> list[str]:
    return Path(log).read_text(encoding="utf-8").split() if Path(log).exists() else []


class Interrupted:
    """Another kind of executor, in which the wait is what is interrupted."""

    width = 2
    closed = False

    def submit(self, task: Task) -> Future[Outcome]:
        raise KeyboardInterrupt

    def close(self) -> None:
        self.closed = True


def test_an_interrupt_in_the_executor_closes_it_too(build: Builder, log: str) -> None:
    executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        build(number(1, log), executor=executor)
    assert executor.closed


def test_the_executor_is_closed_after_a_whole_build(build: Builder, log: str) -> None:
    executor = Closing()
    build(number(1, log), executor=executor)
    assert executor.closed


def test_a_plan_that_lacks_an_input_is_an_error_and_no_endless_loop(store: Store, log: str) -> None:
    top = doubled(number(1, log), log)
    planner = Planner(store, Code())
    with pytest.raises(AssertionError, match="cells wait for cells outside the plan"):
        Build(Plan({top.key: Step(top, None)}), planner, Serial(), Diary()).run()


class Counting(Serial):
    """Notes the most that was queued at a time."""

    width = 2
    most = 0

    def __init__(self, build: Builder) -> None:
        super().__init__()
        self.diary = build

    def submit(self, task: Task) -> Future[Outcome]:
        diary = self.diary.diary
        self.most = max(self.most, len(diary.started_) - len(diary.finished_))
        return super().submit(task)


def test_no_more_is_handed_over_than_runs(build: Builder, log: str) -> None:
    executor = Counting(build)
    build(*(number(x, log) for x in range(20)), executor=executor)
    assert executor.most == 2, "what waits for a worker here could run in another build"


# -- beside other builds -------------------------------------------------------------------------------------


def lease_files(store: Store) -> list[Path]:
    return [path for path in (store.root / "leases").rglob("*") if path.is_file()]


class Elsewhere(Serial):
    """Stands for another build: it holds the lease on a cell, and does something when this one runs another."""

    def __init__(self, store: Store, cell: Cell, then: Callable[[Leases], None]) -> None:
        super().__init__()
        self.leases = Leases(store.root)
        self.leases.acquire(cell.key)
        self.then = then

    def submit(self, task: Task) -> Future[Outcome]:
        if self.leases.held:
            self.then(self.leases)
        return super().submit(task)


def test_what_another_build_computes_is_taken_from_it(build: Builder, log: str) -> None:
    shared, own = number(1, log), number(2, log)
    top = added(shared, own, log)

    def finish(leases: Leases) -> None:
        Builder(build.store)(number(3, log))
        made = Planner(build.store, Code())
        run(Task(shared, made.trace(shared, {}), {}, build.store.root))
        leases.close()

    results = build(top, executor=Elsewhere(build.store, shared, finish))
    assert build.diary.elsewhere_ == [shared.name]
    assert build.diary.reused_ == [shared.name]
    assert build.diary.finished_ == [own.name, top.name]
    assert results.computed == {own.key, top.key}
    assert ran(log) == ["added", "number 1", "number 2", "number 3"]
    assert lease_files(build.store) == []


def test_what_another_build_gives_up_is_computed_here(build: Builder, log: str) -> None:
    shared, own = number(1, log), number(2, log)
    results = build(shared, own, executor=Elsewhere(build.store, shared, Leases.close))
    assert build.diary.elsewhere_ == [shared.name]
    assert results.computed == {shared.key, own.key}


def test_a_result_that_comes_between_the_look_and_the_lease_is_taken(
    build: Builder, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = number(1, log)
    acquire = Leases.acquire

    def late(self: Leases, key: str) -> bool:
        monkeypatch.undo()
        Builder(build.store)(one)
        return acquire(self, key)

    monkeypatch.setattr(Leases, "acquire", late)
    results = build(one)
    assert results.whole
    assert results.computed == set()
    assert ran(log) == ["number 1"]
    assert lease_files(build.store) == []


@pytest.mark.parametrize("cell", [leaving(1), interrupted(), dying(1)], ids=str)
def test_a_lease_is_given_back_however_a_cell_ends(build: Builder, cell: Cell) -> None:
    executor = Processes(2) if cell == dying(1) else Serial()
    with pytest.raises(KeyboardInterrupt) if cell == interrupted() else nullcontext():
        build(cell, executor=executor)
    assert lease_files(build.store) == []
    assert Leases(build.store.root).free(cell.key)


def test_where_leases_cannot_be_kept_a_build_goes_on_and_says_so(build: Builder, log: str) -> None:
    build.store.root.mkdir()
    (build.store.root / "leases").touch()
    cells = [number(x, log) for x in range(3)]
    assert build(*cells).whole
    assert len(build.diary.noticed_) == 1


# -- order and states ----------------------------------------------------------------------------------------


def test_the_longest_way_to_the_end_runs_first(build: Builder, log: str) -> None:
    short, chain = number(1, log), doubled(number(2, log), log)
    build(short, doubled(chain, log))
    assert build.diary.finished_[:2] == ["number/2", "doubled/2"], "though the other comes first in the plan"


def test_states_tell_what_is_there(build: Builder, package: Package, log: str) -> None:
    package.write("cells", CHAIN)
    cells = package.load()
    one, bad = cells.first(3, log), failing(number(2, log), log)
    top, behind = cells.second(one, log), doubled(bad, log)
    build(one, bad)
    package.edit("cells", "abs(x)", "abs(x) + 1")
    planner = Planner(build.store, Code())
    found = present_results(planner.plan([top, behind, number(9, log)]), build.store)
    states = {cell: found.state(cell) for cell in (one, top, bad, behind, number(2, log), number(9, log))}
    assert list(states.values()) == ["stale", "missing", "failed", "blocked", "fresh", "missing"]
    ran(log)
    assert not found.whole
