"""Tells processes apart, on this machine and others, without a name that would betray whose they are."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others, here and elsewhere, before and after a restart."""
    return {"machine": machine(), "boot": boot(), "pid": os.getpid(), "began": began(os.getpid()) or ""}


def ended(facts: Mapping[str, Any]) -> bool:
    """Say whether a process of this machine, by what `this_process` told there, has ended."""
    if facts["boot"] != boot():
        return True
    found = began(facts["pid"])
    return found is None or ("" not in (found, facts["began"]) and found != facts["began"])


def began(process: int) -> str | None:
    """Return when a process of this machine began, "" if that cannot be told, None if there is none."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "" if _exists(process) else None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]  # ticks since the machine started: no clock that is set moves it


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def boot() -> str:
    """Tell one run of this machine from the next."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return ""


def machine() -> str:
    """Tell where process numbers mean the same, without a name: the machine, and the container on it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
