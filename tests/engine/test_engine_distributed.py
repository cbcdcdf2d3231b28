"""The executor on dask.distributed: the same bytes, each cell once, and nothing lost when something dies."""

from __future__ import annotations

import math
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest
from cells_for_clusters import accelerated, runs, slow_once, slow_until, step, table, tensors
from cells_for_tests import dying, failing, number, threads
from cluster import Cluster, until
from engine_helpers import Builder, Package

from compute.engine.cell import Cell
from compute.engine.clusters import serving
from compute.engine.clusters.distributed import Dask
from compute.engine.clusters.serving import serve
from compute.engine.code import Code
from compute.engine.executors import Outcome, Processes, Serial, Stopped
from compute.engine.loaded import Loaded, OtherCodeError
from compute.engine.plan import Planner
from compute.engine.record import Record
from compute.engine.store import Failure, Store
from compute.engine.work import Task
from compute.errors import UsageError

dask = pytest.importorskip("dask")
HERE = Path(__file__).parent
PATHS = [HERE, HERE.parents[1]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler; each test starts the workers that it needs."""
    made = Cluster(tmp_path, PATHS)
    try:
        made.scheduler()
        yield made
    finally:
        made.close()


def task_of(cell: Cell, store: Store, *, anew: bool = False) -> Task:
    return Task(cell, Planner(store, Code()).trace(cell, {}), {}, store.root, anew)


def meanwhile(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


# -- what a worker checks ----------------------------------------------------------------------------


@pytest.fixture
def fresh_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be a worker that started a moment ago, after all files were written."""
    here = Loaded(since=math.inf)
    monkeypatch.setattr(serving, "loaded", lambda: here)


ANSWER = """
    from compute.engine.cell import cell

    NUMBER = 42

    @cell()
    def answer():
        return NUMBER
"""


def payload(task: Task) -> tuple[bytes, dict[str, str]]:
    return pickle.dumps(task), dict(task.trace.code)


@pytest.mark.usefixtures("fresh_worker")
def test_a_task_with_the_same_code_is_computed(package: Package, store: Store) -> None:
    package.write("cells", ANSWER)
    task = task_of(package.load().answer(), store)
    store.root.mkdir()
    answer = pickle.loads(serve(*payload(task), 1))
    assert isinstance(answer, Record)
    assert store.load(answer) == 42


@pytest.mark.usefixtures("fresh_worker")
def test_a_task_with_other_code_is_refused_by_name_and_leaves_nothing(package: Package, store: Store) -> None:
    package.write("cells", ANSWER)
    task = task_of(package.load().answer(), store)
    store.root.mkdir()
    sent, code = payload(task)
    answer = pickle.loads(serve(sent, {**code, f"{package.name}.cells:NUMBER": "another"}, 1))
    assert isinstance(answer, OtherCodeError)
    assert str(answer) == f"{package.name}.cells:NUMBER"
    assert list(store.all()) == []


@pytest.mark.usefixtures("fresh_worker")
def test_code_imported_before_an_edit_is_never_passed_off_as_the_edited(package: Package, store: Store) -> None:
    package.write("cells", ANSWER)
    cell = package.load().answer()
    store.root.mkdir()
    assert isinstance(pickle.loads(serve(*payload(task_of(cell, store)), 1)), Record)
    package.edit("cells", "42", "43")
    answer = pickle.loads(serve(*payload(task_of(cell, store)), 1))
    assert isinstance(answer, OtherCodeError)


def test_a_module_edited_before_its_import_is_not_trusted_and_one_edited_after_is(package: Package) -> None:
    package.write("early", "NUMBER = 1")
    package.write("late", "NUMBER = 1")
    early, late = f"{package.name}.early", f"{package.name}.late"
    package.load("early")
    here = Loaded(since=math.inf)
    for _ in range(2):
        here.check([early, late])
    package.edit("early", "1", "2")
    here.check([early])
    package.edit("late", "1", "2")
    package.load("late")
    with pytest.raises(OtherCodeError, match="late, which was edited"):
        here.check([early, late])


def test_a_module_that_was_edited_after_the_process_began_is_not_trusted(package: Package, store: Store) -> None:
    package.write("cells", ANSWER)
    cell = package.load().answer()
    package.edit("cells", "42", "43")
    store.root.mkdir()
    answer = pickle.loads(serve(*payload(task_of(cell, store)), 1))
    assert isinstance(answer, OtherCodeError)
    assert "edited" in str(answer)


@pytest.mark.usefixtures("fresh_worker")
def test_a_task_of_a_project_that_is_not_here_is_refused(package: Package, store: Store) -> None:
    package.write("cells", ANSWER)
    sent, code = payload(task_of(package.load().answer(), store))
    del sys.modules[f"{package.name}.cells"]
    package.path("cells").unlink()
    answer = pickle.loads(serve(sent, code, 1))
    assert isinstance(answer, OtherCodeError)
    assert "cells" in str(answer)


def test_a_process_that_takes_several_tasks_at_a_time_is_refused(store: Store, log: str) -> None:
    answer = pickle.loads(serve(*payload(task_of(number(1, log), store)), 4))
    assert isinstance(answer, Stopped)
    assert "--nworkers 4 --nthreads 1" in str(answer)


def test_a_worker_that_does_not_see_the_store_says_so(store: Store, log: str) -> None:
    answer = pickle.loads(serve(*payload(task_of(number(1, log), store)), 1))
    assert isinstance(answer, Stopped)
    assert str(store.root) in str(answer)


def test_a_result_that_was_committed_meanwhile_is_not_computed_again(build: Builder, log: str) -> None:
    cell = number(1, log)
    build(cell)
    answer = pickle.loads(serve(*payload(task_of(cell, build.store)), 1))
    assert isinstance(answer, Record)
    assert len(runs(log)) == 1


# -- a cluster of our own ----------------------------------------------------------------------------


def test_cells_run_in_workers_of_one_thread_and_their_errors_are_failures(build: Builder, log: str) -> None:
    cells = [step(x, log) for x in range(4)]
    results = build(*cells, threads(1), failing(1, log), executor=Dask(2))
    assert len(results.computed) == 5
    assert build.store.load(results.records[threads(1).key]) == "1"
    (failure,) = results.failures.values()
    assert failure.error == "ValueError: not mended yet"
    processes = {int(line[1]) for line in runs(log) if line[0] == "step"}
    assert os.getpid() not in processes
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_closing_ends_a_worker_in_the_middle_of_a_cell(store: Store, log: str) -> None:
    executor = Dask(1)
    executor.submit(task_of(slow_once(1, log), store))
    ((_, pid),) = until(lambda: runs(log), "the cell's start")
    executor.close()
    assert not psutil.pid_exists(int(pid))


@pytest.mark.slow
def test_bytes_are_the_same_wherever_cells_run(tmp_path: Path) -> None:
    cells = [table(1), tensors(1), tensors(2), step(1, str(tmp_path / "log"))]
    digests = []
    for n, executor in enumerate((Serial(), Processes(2), Dask(2))):
        results = Builder(Store(tmp_path / str(n)))(*cells, executor=executor)
        assert results.whole
        digests.append({key: record.digest for key, record in results.records.items()})
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_fails_and_the_others_do_not(build: Builder, log: str) -> None:
    cells = [step(x, log) for x in range(4)]
    results = build(dying(1), *cells, executor=Dask(2))
    assert [failure.name for failure in results.failures.values()] == ["dying"]
    assert len(results.computed) == 4


# -- a cluster that is joined ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_cell_is_replaced(cluster: Cluster, build: Builder, log: str) -> None:
    cluster.worker("--nworkers", "2")
    killer = meanwhile(lambda: os.kill(int(until(lambda: runs(log), "a start")[0][1]), signal.SIGKILL))
    results = build(slow_once(1, log), executor=Dask(1, cluster.address))
    killer.join()
    assert results.whole
    first, second = (pid for _, pid in runs(log))
    assert first != second


@pytest.mark.slow
def test_when_the_scheduler_dies_the_build_says_so_and_the_next_goes_on(
    cluster: Cluster, build: Builder, log: str, tmp_path: Path
) -> None:
    cluster.worker()
    done = step(1, log)
    last = slow_until(2, log, str(tmp_path / "sign"))
    killer = meanwhile(lambda: (until(lambda: len(runs(log)) == 2, "both cells"), cluster.processes[0].kill()))
    with pytest.raises(Stopped, match=r"the scheduler at tcp://.* is gone; what was finished is kept: run the same"):
        build(done, last, executor=Dask(1, cluster.address))
    killer.join()
    (tmp_path / "sign").touch()
    cluster.scheduler()
    cluster.worker()
    results = build(done, last, executor=Dask(1, cluster.address))
    assert results.whole
    assert [line[0] for line in runs(log)].count("step") == 1


@pytest.mark.slow
def test_two_clients_of_one_scheduler_compute_a_cell_once_but_anew_each(
    cluster: Cluster, store: Store, log: str, tmp_path: Path
) -> None:
    cluster.worker("--nworkers", "3")
    sign = tmp_path / "sign"
    cell = slow_until(1, log, str(sign))
    clients = [Dask(1, cluster.address), Dask(1, str(cluster.file))]
    try:
        sent: list[Future[Outcome]] = [client.submit(task_of(cell, store)) for client in clients]
        until(lambda: runs(log), "a start")
        assert not any(future.done() for future in sent)
        sign.touch()
        first, second = (future.result(60) for future in sent)
        assert isinstance(first, Record)
        assert first == second
        assert len(runs(log)) == 1
        assert isinstance(clients[0].submit(task_of(cell, store, anew=True)).result(60), Record)
        assert isinstance(clients[0].submit(task_of(cell, store, anew=True)).result(60), Record)
        assert len(runs(log)) == 3
    finally:
        for client in clients:
            client.close()


@pytest.mark.slow
def test_what_runs_when_a_client_leaves_is_finished_and_kept(
    cluster: Cluster, store: Store, log: str, tmp_path: Path
) -> None:
    cluster.worker()
    task = task_of(slow_until(1, log, str(tmp_path / "sign")), store)
    client = Dask(1, cluster.address)
    client.submit(task)
    until(lambda: runs(log), "a start")
    client.close()
    (tmp_path / "sign").touch()
    until(lambda: store.find(task.cell.key, task.trace.id), "the result")


@pytest.mark.slow
def test_a_failed_cell_runs_again_when_it_is_sent_again(cluster: Cluster, store: Store, log: str) -> None:
    cluster.worker()
    client = Dask(1, cluster.address)
    try:
        assert isinstance(client.submit(task_of(failing(1, log), store)).result(60), Failure)
        Path(log).with_name("mended").touch()
        assert isinstance(client.submit(task_of(failing(1, log), store)).result(60), Record)
    finally:
        client.close()


@pytest.mark.slow
def test_workers_that_run_since_before_an_edit_begin_anew(cluster: Cluster, package: Package, build: Builder) -> None:
    package.write("cells", ANSWER.replace("def answer():", "def answer(x=0):"))
    cluster.worker("--nworkers", "2", paths=[package.folder, *PATHS])
    cells = [package.load().answer(x) for x in range(12)]
    for old, new in (("42", "42"), ("42", "43"), ("43", "44")):
        package.edit("cells", old, new)
        results = build(*cells, executor=Dask(4, cluster.address))
        assert not results.failures, next(iter(results.failures.values())).error
        assert {build.store.load(results.records[cell.key]) for cell in cells} == {int(new)}
        assert len(results.computed) == 12


@pytest.mark.slow
def test_a_worker_of_another_checkout_is_refused(
    cluster: Cluster, package: Package, build: Builder, tmp_path: Path
) -> None:
    package.write("cells", ANSWER)
    cell = package.load().answer()
    there = Package(tmp_path / "other", package.name)
    there.write("__init__", "")
    there.write("cells", ANSWER.replace("42", "43"))
    cluster.worker(paths=[there.folder, *PATHS])
    differs = rf"the code of worker .* differs from yours: {package.name}.cells:NUMBER; update its checkout"
    with pytest.raises(Stopped, match=differs):
        build(cell, executor=Dask(1, cluster.address))
    assert list(build.store.all()) == []


@pytest.mark.slow
def test_a_worker_without_the_project_is_named(cluster: Cluster, build: Builder, log: str, tmp_path: Path) -> None:
    hidden = tmp_path / "compute.py"  # stands before the project, which may be installed where the tests run
    hidden.write_text("raise ModuleNotFoundError(\"No module named 'compute'\")\n", encoding="utf-8")
    cluster.worker(paths=[tmp_path])
    with pytest.raises(Stopped, match="lacks this project"):
        build(step(1, log), executor=Dask(1, cluster.address))


@pytest.mark.slow
def test_what_no_worker_can_take_ends_the_build_and_says_how_to_start_one(cluster: Cluster, build: Builder) -> None:
    with dask.config.set({"recount.patience": "1s"}):
        with pytest.raises(Stopped, match=r"no worker came in 1 s; start one by `dask worker tcp:.* --nthreads 1`"):
            build(table(1), executor=Dask(1, cluster.address))
        cluster.worker()
        with pytest.raises(Stopped, match=r"no worker for accelerated/1 with gpu came .* --resources gpu=1`"):
            build(accelerated(1), executor=Dask(1, cluster.address))
    cluster.worker("--resources", "gpu=1")
    assert build(accelerated(1), executor=Dask(1, cluster.address)).whole


@pytest.mark.slow
def test_the_width_follows_the_workers(cluster: Cluster) -> None:
    client = Dask(1, cluster.address)
    try:
        assert client.width == 1
        cluster.worker("--nworkers", "2")
        until(lambda: client.width == 4, "a greater width")
    finally:
        client.close()


def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither an address"):
        Dask(1, "nowhere://1")
    with pytest.raises(UsageError, match="neither an address"):
        Dask(1, str(tmp_path / "none.json"))


@pytest.mark.slow
def test_where_nothing_answers_the_line_says_so() -> None:
    with pytest.raises(Stopped, match=r"no scheduler answers at tcp://127.0.0.1:1: start one by `dask scheduler`"):
        Dask(1, "tcp://127.0.0.1:1")
