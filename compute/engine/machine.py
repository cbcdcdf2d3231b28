"""What a process computes on and under, and what computing takes: versions, machine, source, time and memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from compute.engine.record import Cost
from compute.engine.versions import version

LIBRARIES = (
    *("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers", "datasets", "pyarrow"),
    *("joblib", "dask", "distributed"),
)
"""Distributions whose versions a record tells, where they are installed."""

SETTLED = 60.0
"""Seconds for which the state of the source is not asked for again: a process may live for days."""


def environment(source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Describe the versions and the machine under which this process computes; *source* is kept as `git`."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "libraries": {name: found for name in LIBRARIES if (found := version(name))},
        "machine": {**_machine(), "accelerator": _accelerator()},
        "system": f"{platform.system()} {platform.machine()}",
        "threads": _threads(),
        "git": source,
    }


@cache
def _machine() -> dict[str, Any]:
    return {"cpu": _cpu(), "cores": os.cpu_count(), "memory": _memory()}


def _threads() -> int | None:
    """Return how many threads this process computes on: what torch says, or else the environment.

    OMP_NUM_THREADS may also be empty or a list.
    """
    if asked := getattr(sys.modules.get("torch"), "get_num_threads", None):
        return int(asked())
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdigit() else os.cpu_count()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _accelerator() -> dict[str, Any] | None:
    """Return the name, number and bytes of what torch could compute on here beside the processor."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return None
    memory = cuda.get_device_properties(0).total_memory
    return {"name": cuda.get_device_name(0), "count": cuda.device_count(), "memory": memory}


_source: dict[str, Any] = {}


def source() -> dict[str, Any] | None:
    """Return the commit and whether the work tree differs from it; None outside a repository.

    To be asked where a build is scheduled: a worker may have another folder, and live longer than a commit.
    """
    if not _source or time.monotonic() - _source["seen"] > SETTLED:
        _source.update(state=_git(), seen=time.monotonic())
    return cast("dict[str, Any] | None", _source["state"])


def _git() -> dict[str, Any] | None:
    try:
        commit = _run("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _run(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Meter:
    """Measures what computing takes, from when it is made."""

    def __init__(self) -> None:
        _reset_peak()
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()

    def cost(self) -> Cost:
        """Return what it took until now."""
        seconds, cpu = time.perf_counter() - self._started, _cpu_seconds() - self._cpu
        return Cost(round(seconds, 3), round(cpu, 3), _peak())


def _cpu_seconds() -> float:
    try:
        import resource
    except ImportError:
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak() -> None:
    """Have the kernel forget the highest resident size of this process."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - a Path costs more
        file.write("5")


def _peak() -> int:
    with suppress(OSError), open("/proc/self/status", "rb") as file:  # noqa: PTH123
        if found := re.search(rb"^VmHWM:\s+(\d+) kB", file.read(), re.MULTILINE):
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
