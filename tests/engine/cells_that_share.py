"""Cells for builds that run side by side, and cells that take what there is little of."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cells_for_tests import note

from compute.engine.cell import cell


@cell(label="{x}")
def counted(x: int, after: object, log: str) -> int:
    """Write one line, as short writes are whole, and take long enough to be met at work."""
    note(log, f"{x}")
    time.sleep(0.01)
    return x


@cell(label="{x}")
def gated(x: int, log: str) -> int:
    """Wait as long as there is a file `gate` beside the log."""
    note(log, f"{os.getpid()}")
    while Path(log).with_name("gate").exists():
        time.sleep(0.02)
    return x


@cell(label="{x}", resources={"gpu": 1})
def exclusive(x: int, log: str) -> int:
    note(log, "begin")
    time.sleep(0.05)
    note(log, "end")
    return x


@cell(label="{x}")
def heavy(x: int, log: str) -> int:
    note(log, "begin")
    time.sleep(0.05)
    note(log, "end")
    return x


@cell(label="{x}", resources={"gpu": 2})
def greedy(x: int, log: str) -> int:
    note(log, "greedy")
    return x


@cell(label="{x}")
def ordinary(x: int) -> int:
    return x


@cell(label="{x}")
def with_children(x: int, log: str) -> None:
    """Start a process that would outlive an interrupt, and note both."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
    note(log, f"{os.getpid()} {child.pid}")
    time.sleep(100)


@cell(label="{x}")
def setting(x: int) -> str:
    return os.environ["RECOUNT_DEVICE"]
