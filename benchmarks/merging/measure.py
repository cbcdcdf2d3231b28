"""Runs one command as a user would type it, and measures it from outside: wall, CPU and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KIB = 1024
"""Linux tells ru_maxrss in units of this many bytes."""


@dataclass(frozen=True)
class Run:
    """What a command did."""

    seconds: float
    """Wall time from its start to its end, start-up included."""
    cpu_seconds: float
    """User and system time of the command and of all processes that it started and waited for."""
    peak_bytes: int
    """The largest resident set of the command or of one of those processes; files that it maps count as they lie in."""
    code: int | None
    """The exit status; None: it ran past the limit and was stopped."""
    output: str
    load: float
    """The machine's load average over the minute before."""

    @property
    def done(self) -> bool:
        return self.code == 0

    @property
    def problem(self) -> str:
        """Return in a line why it is not done, or nothing."""
        if self.done:
            return ""
        last = " ".join(self.output.strip().splitlines()[-1:])[:200]
        return f"past the limit after {self.seconds:.0f} s" if self.code is None else f"exit {self.code}: {last}"


def timed(command: Sequence[str], log: Path, environment: Mapping[str, str], limit: float, folder: Path) -> Run:
    """Run *command* in *folder*, its output to the file *log*; past *limit* seconds it and its children are stopped.

    Keep the calling process small: Linux counts its memory at the fork as the child's.
    """
    load = round(os.getloadavg()[0], 2)
    with log.open("w", encoding="utf-8") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        stop = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        stop.start()
        _, status, used = os.wait4(process.pid, 0)  # unlike wait(), tells what this one child used
        seconds = time.perf_counter() - started
        stop.cancel()
    process.returncode = code = os.waitstatus_to_exitcode(status)
    late = code == -signal.SIGKILL and seconds >= limit
    text = log.read_text(encoding="utf-8", errors="replace")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * KIB, None if late else code, text, load)
