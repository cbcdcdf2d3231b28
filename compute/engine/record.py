"""The record of one result: what it was made from, by which code, where, and at what cost.

Holds no tokens, no names of users or hosts, no paths.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from compute.engine import files
from compute.engine.cell import Cell
from compute.engine.keys import Input

SCHEMA = 1
LIBRARIES = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers", "datasets", "pyarrow")


@dataclass(frozen=True)
class Trace:
    """Under what a result was made: the code that it reached and the results that it read."""

    code: Mapping[str, str]
    """Definition or library → hash or version."""
    inputs: Mapping[str, str]
    """Key of each stored input → digest of its result."""

    @property
    def id(self) -> str:
        """The hash of the trace, 16 hexadecimal digits: results of one key are kept apart by it."""
        from compute.engine.keys import hashed

        parts = [sorted(map(list, self.code.items())), sorted(map(list, self.inputs.items()))]
        return hashed(["trace", *parts])[:16]


@dataclass(frozen=True)
class Cost:
    """What computing a result took."""

    seconds: float
    cpu_seconds: float
    peak_memory: int
    """Bytes; the highest resident size of the process until then."""


@dataclass(frozen=True)
class Record:
    """Provenance of one stored result."""

    key: str
    name: str
    function: str
    arguments: Mapping[str, Any]
    trace: Trace
    digest: str
    size: int
    """Bytes of the payload."""
    files: Mapping[str, str]
    cost: Cost
    seed: int | None
    when: str
    """UTC, ISO 8601, to the second."""
    environment: Mapping[str, Any]
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Write the record as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """Read a record; ValueError if it is damaged or of another schema."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"not a record of schema {SCHEMA}")
        try:
            found["trace"] = Trace(**found["trace"])
            found["cost"] = Cost(**found["cost"])
            return cls(**found)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a whole record: {error}") from error


def readable(value: object) -> Any:
    """Return *value* as plain data for people: cells by name and key, inputs by identity."""
    if isinstance(value, Cell):
        return {"cell": value.name, "key": value.key}
    if isinstance(value, Input):
        return {type(value).__name__: readable(value.identity(files.digest))}
    if isinstance(value, Mapping):
        return {str(name): readable(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [readable(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: readable(getattr(value, member.name)) for member in fields(value)}
    return value


@cache
def environment() -> dict[str, Any]:
    """Describe the versions, the machine and the state of the source under which this process computes."""
    return {
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "memory": _memory(), "accelerator": _accelerator()},
        "system": f"{platform.system()} {platform.machine()}",
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count(),
        "git": _git(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _accelerator() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def _git() -> dict[str, Any] | None:
    """Return the commit and whether the work tree differs from it; None outside a repository."""
    try:
        commit = _run("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _run(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
