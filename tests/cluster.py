"""A scheduler and workers of dask.distributed, as processes of their own on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait for something that other processes do; fail, rather than hang, if it never comes."""
    for _ in range(600):
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come in a minute")


@dataclass
class Cluster:
    """Starts its parts one by one, and ends all of them."""

    folder: Path
    paths: list[Path]
    """Where the workers find modules; the scheduler finds none of them."""
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The scheduler file."""
        return self.folder / "scheduler.json"

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start a scheduler at a free port and wait until it listens."""
        self.file.unlink(missing_ok=True)
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter")
        started = self._start("scheduler", *options, "--scheduler-file", str(self.file), paths=[])
        self.address = until(self._address, "a scheduler")
        return started

    def worker(self, *options: str, paths: list[Path] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, with a nanny; *options* come last."""
        usual = ("--host", "127.0.0.1", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard")
        where = ("--local-directory", str(self.folder / "workers"), "--death-timeout", "60")
        return self._start("worker", self.address, *usual, *where, *options, paths=paths or self.paths)

    def close(self) -> None:
        """End every process, with those that it started."""
        for process in reversed(self.processes):
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.wait()

    def _address(self) -> str:
        try:
            return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError):
            return ""

    def _start(self, kind: str, *arguments: str, paths: list[Path]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{kind}.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
                stdout=log,
                stderr=log,
            )
        self.processes.append(started)
        return started
