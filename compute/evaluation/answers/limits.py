"""What a program that nobody has read may take, and how it is kept in. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Protection = Literal["namespaces", "filters", "hooks"]
"""What keeps a program in, from the best to the least: see compute.evaluation.answers.sandbox."""


@dataclass(frozen=True)
class Limits:
    """What a program may take. All but `seconds`, `output` and `folder` hold for each of its processes."""

    cpu: int = 5
    """Seconds of processor time."""
    seconds: float = 10.0
    """Seconds on the clock, from the moment its interpreter starts."""
    memory: int = 1 << 30
    """Bytes of address space."""
    processes: int = 16
    """Processes and threads at a time, about."""
    file: int = 1 << 20
    """Bytes of a file."""
    folder: int = 16 << 20
    """Bytes of its whole folder; held only by namespaces."""
    files: int = 128
    """Open files at a time; at least 32."""
    output: int = 1 << 16
    """Bytes written to standard output and error."""


DEFAULT = Limits()
