"""Runs tasks on a cluster of dask.distributed: one started here, or one that others started and we join.

Specs and keys travel, never data: workers read and write the store, which must lie where all of them see it.
"""

from __future__ import annotations

import itertools
import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from compute.engine import stores
from compute.engine.clusters import joining
from compute.engine.executors import Outcome, Stopped
from compute.engine.keys import hashed
from compute.engine.record import Record
from compute.engine.store import Store
from compute.engine.work import Task

AGAIN = "what was finished is kept: run the same command again"


@dataclass(eq=False)
class _Call:
    """A task on its way: handed to the scheduler once, or again after a worker was renewed."""

    task: Task
    number: int
    outcome: Future[Outcome] = field(default_factory=Future)
    shared: bool = True
    """Whether another client's same task may answer; not once that answer was of no use."""
    unserved: float | None = None
    """Since when no worker could take it."""


class _Worker(NamedTuple):
    """Who answered."""

    address: str
    process: str
    """Another one after it began anew."""
    nanny: str
    """Where the process is that watches over it, or "" if there is none."""


class Dask:
    """Runs tasks on the workers of a scheduler; starts *jobs* worker processes here where none is named."""

    def __init__(self, jobs: int, scheduler: str = "") -> None:
        """Start or join a cluster: *scheduler* is an address, as tcp://host:8786, or a scheduler file.

        UsageError if dask is not installed or the address is none; Stopped if nothing answers there.
        """
        self.width = jobs
        joining.prepare()
        self._least = jobs
        self._cluster = None if scheduler else joining.start(jobs)
        self._client = joining.connect(self._cluster or scheduler)
        self._address = scheduler or "127.0.0.1"
        self._calls: set[_Call] = set()
        self._sent = itertools.count()
        self._tried: set[tuple[str, str]] = set()
        """Keys and traces that were sent before: the next time is for us alone."""
        self._renewed: dict[str, str] = {}
        """By its nanny, the process of each worker that we had ended so that it begins anew."""
        self._renewing = threading.Lock()
        self._closing = threading.Event()
        self._settling = ThreadPoolExecutor(4, thread_name_prefix="settle")
        if scheduler:
            self._count(self._workers())
            threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, task: Task) -> Future[Outcome]:
        """Send a task; Stopped if the scheduler is gone."""
        task.root.mkdir(parents=True, exist_ok=True)
        name = (task.cell.key, task.trace.id)
        call = _Call(task, next(self._sent), shared=not task.anew and name not in self._tried)
        self._tried.add(name)
        self._calls.add(call)
        self._send(call)
        return call.outcome

    def close(self) -> None:
        """Leave the scheduler, or end the workers that were started here, also in the middle of a task."""
        self._closing.set()
        self._settling.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):
            self._client.close(timeout=2)
        if self._cluster is not None:
            joining.end(self._cluster)

    def _send(self, call: _Call) -> None:
        if self._client.status != "running":
            raise self._gone()
        sent = self._client.submit(
            _stub(),
            pickle.dumps(call.task),
            dict(call.task.trace.code),
            key=_key(call),
            resources=dict(call.task.cell.function.resources) if self._cluster is None else None,
            priority=-call.number,
            pure=False,
        )
        sent.add_done_callback(lambda sent: self._settle_soon(call, sent))

    def _settle_soon(self, call: _Call, sent: Any) -> None:
        if not self._closing.is_set():
            with suppress(RuntimeError):  # closed meanwhile
                self._settling.submit(self._settle, call, sent)

    def _settle(self, call: _Call, sent: Any) -> None:
        """Take an answer in: it becomes the task's outcome, or the task is sent once more."""
        try:
            answer = self._answer(call, sent)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach who waits for the outcome
            answer = error
        finally:
            with suppress(Exception):
                sent.release()  # else a scheduler keeps the answer, and gives it to who asks anew
        if answer is not None:
            self._finish(call, answer)

    def _finish(self, call: _Call, answer: Outcome | Exception) -> None:
        self._calls.discard(call)
        with suppress(InvalidStateError):
            if isinstance(answer, Exception):
                call.outcome.set_exception(answer)
            else:
                call.outcome.set_result(answer)

    def _answer(self, call: _Call, sent: Any) -> Outcome | Exception | None:
        """Return what a task came to, or None if it was sent once more."""
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        from compute.engine.clusters.serving import Answer
        from compute.engine.loaded import OtherCodeError

        try:
            worker, payload = sent.result()
        except KilledWorker:
            return BrokenExecutor("the workers that computed it died: was it more than their memory?")
        except (CancelledError, CommClosedError, TimeoutError):
            return self._gone()
        except ImportError as error:
            return Stopped(
                f"a worker of {self._address} lacks this project or what it needs ({error}): install it there"
            )
        answer: Answer = pickle.loads(payload)
        if isinstance(answer, OtherCodeError):
            return self._renew(call, worker, str(answer))
        if isinstance(answer, Record) and not _seen(call.task, answer):
            return Stopped(
                f"worker {worker.address} kept {answer.name} where this machine does not see it: share the store"
            )
        return answer

    def _renew(self, call: _Call, worker: _Worker, differs: str) -> Exception | None:
        """Let a worker begin anew that has other code than ours, once: it may have started before an edit."""
        if not worker.nanny:
            return Stopped(f"the code of worker {worker.address} differs from yours: {differs}; restart it; {AGAIN}")
        with self._renewing:
            ended = self._renewed.setdefault(worker.nanny, "")
            if not ended:
                self._renewed[worker.nanny] = worker.process
                self._end(worker)
        if ended not in ("", worker.process):
            text = f"the code of worker {worker.address} differs from yours: {differs}; update its checkout; {AGAIN}"
            return Stopped(text)
        call.shared = False
        self._send(call)
        return None

    def _end(self, worker: _Worker) -> None:
        """End a worker's process; its nanny starts another."""
        try:
            self._client.restart_workers([worker.address], timeout=joining.PATIENCE, raise_for_error=False)
        except KeyError:
            pass  # it ended already: another client had the same answer
        except OSError as error:
            raise Stopped(f"worker {worker.address} does not begin anew ({error}): restart it; {AGAIN}") from error

    def _gone(self) -> Stopped:
        return Stopped(f"the scheduler at {self._address} is gone; {AGAIN}")

    def _watch(self) -> None:
        """Keep the width, and end the wait of tasks that no worker can take."""
        while not self._closing.wait(1):
            try:
                workers = self._workers()
            except Exception:  # noqa: BLE001 - the scheduler is busy, or gone: then its tasks are told
                continue
            self._count(workers)
            offers = {tuple(worker["resources"].items()) for worker in workers}
            for call in list(self._calls):
                self._look(call, [dict(offer) for offer in offers])

    def _workers(self) -> list[Mapping[str, Any]]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    def _count(self, workers: list[Mapping[str, Any]]) -> None:
        """Queue some more than there are workers for, so that a cluster that grows with its work does."""
        self.width = max(self._least, 2 * sum(worker["nthreads"] for worker in workers))

    def _look(self, call: _Call, offers: list[dict[str, float]]) -> None:
        """Give a task up if no worker was there for it for a while."""
        needs = call.task.cell.function.resources
        if any(all(offer.get(name, 0) >= n for name, n in needs.items()) for offer in offers):
            call.unserved = None
            return
        call.unserved = call.unserved or time.monotonic()
        patience = joining.patience()
        if time.monotonic() - call.unserved > patience:
            option = "".join(f" --resources {name}={n:g}" for name, n in needs.items())
            start = f"dask worker {self._address} --nthreads 1{option}"
            whom = f"for {call.task.cell.name} with {' '.join(needs)} " if needs else ""
            self._finish(call, Stopped(f"no worker {whom}came in {patience:g} s; start one by `{start}`; {AGAIN}"))


def _key(call: _Call) -> str:
    """Return the name under which a scheduler knows the task: the same for all who want the same."""
    task = call.task
    where = [str(task.root), str(task.into or ""), *sorted(map(list, task.environment.items()))]
    alone = "" if call.shared else uuid.uuid4().hex
    return f"{task.cell.function.name}-{task.cell.key}-{task.trace.id}-{hashed([*where, alone])[:16]}"


def _stub() -> Callable[[bytes, Mapping[str, str]], tuple[_Worker, bytes]]:
    """Return the function that workers call. It travels by value, so that a scheduler need not have the project."""

    def compute_cell(payload, code):  # type: ignore[no-untyped-def]
        from distributed import get_worker

        from compute.engine.clusters.distributed import _Worker
        from compute.engine.clusters.serving import serve

        worker = get_worker()
        here = _Worker(worker.address, worker.id, worker.nanny or "")
        return here, serve(payload, code, worker.state.nthreads)

    return compute_cell


def _seen(task: Task, record: Record, seconds: float = 30.0) -> bool:
    """Whether the store has a result; on a network's file system it may take a moment until it shows."""
    store = Store(task.into) if task.into else stores.at(task.root)
    until = time.monotonic() + seconds
    folder = store.folder(record.key, record.trace.id)
    while store.find(record.key, record.trace.id) is None:
        if time.monotonic() > until:
            return False
        for above in list(folder.parents)[:3]:
            with suppress(OSError):
                os.listdir(above)  # noqa: PTH208 - asks the server, whatever was remembered of this folder
        time.sleep(0.2)
    return True
