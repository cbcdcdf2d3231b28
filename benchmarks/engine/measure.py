"""Runs one command as a user would type it, and measures it from outside."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What a command did."""

    seconds: float
    """Wall time from its start to its end, start-up included."""
    cpu_seconds: float
    """Of the command and all processes that it started and waited for."""
    code: int | None
    """The exit status; None: it ran past the limit and was stopped."""
    output: str

    @property
    def done(self) -> bool:
        return self.code == 0


def timed(command: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float) -> Run:
    """Run *command* in *folder*; past *limit* seconds it and its children are stopped."""
    log = folder / "output.txt"
    cpu, started = _cpu(), time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        stop = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))  # wait(limit) would look every 50 ms
        stop.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        stop.cancel()
    late = code == -signal.SIGKILL and seconds >= limit
    return Run(seconds, _cpu() - cpu, None if late else code, log.read_text(encoding="utf-8", errors="replace"))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
