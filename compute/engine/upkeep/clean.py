"""Runs a task in an interpreter of its own, which nothing that ran before can have touched."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from compute.engine.executors import ONE_THREAD
from compute.engine.record import Record
from compute.engine.store import DamagedResult, Failure
from compute.engine.work import Task, failure, run


def recomputed(task: Task) -> Record | Failure:
    """Run *task* in an interpreter of its own that does nothing else, on one thread, with another seed of hashes.

    Raises DamagedResult as `run` does.
    """
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    variables = {**os.environ, **ONE_THREAD, "PYTHONPATH": paths, "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-c", "from compute.engine.upkeep.clean import answer; answer()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables) as process:
        out = _exchange(process, pickle.dumps(task))
    try:
        found = pickle.loads(out)
    except (EOFError, pickle.UnpicklingError):
        return failure(task, RuntimeError(f"the process ended with code {process.returncode} and without an answer"))
    if isinstance(found, DamagedResult):
        raise found
    assert isinstance(found, Record | Failure)
    return found


STOPPED = threading.Event()
"""Set while what runs is to end at once."""


def _exchange(process: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Send *data* and return the answer; end the process if all is to end."""
    sent: bytes | None = data
    while True:
        try:
            return process.communicate(sent, timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            sent = None
            if STOPPED.is_set():
                process.kill()


def answer() -> None:
    """Read a task, run it, write the outcome: what the clean process does. What a cell prints goes elsewhere."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt is told by the process that was started first
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task: Task = pickle.load(sys.stdin.buffer)
    found: object
    try:
        found = run(task)
    except DamagedResult as error:
        found = error
    with out:
        pickle.dump(found, out)


def _end_with(parent: int) -> None:
    """End soon after the parent: one that was killed can tell nobody."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
