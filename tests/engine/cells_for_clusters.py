"""Cells for workers of a cluster; each notes the process in which it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from cells_for_tests import note

from compute.engine.cell import cell


def runs(log: str) -> list[list[str]]:
    """Return the lines of a log, as words."""
    path = Path(log)
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


@cell(label="{x}")
def step(x: Any, log: str, before: Any = None) -> Any:
    note(log, f"step {os.getpid()} {x}")
    return x


@cell(label="{x}")
def slow_once(x: int, log: str) -> int:
    """Sleep where it runs first; answer at once the next time."""
    first = not runs(log)
    note(log, f"slow_once {os.getpid()}")
    if first:
        time.sleep(60)
    return x


@cell(label="{x}")
def slow_until(x: int, log: str, sign: str) -> int:
    """Wait for a file."""
    note(log, f"slow_until {os.getpid()}")
    while not Path(sign).exists():
        time.sleep(0.05)
    return x


@cell(label="{x}", resources={"gpu": 1})
def accelerated(x: int) -> int:
    return x


@cell()
def table(x: int) -> Any:
    import pandas as pd

    return pd.DataFrame({"locale": ["sq-AL", "de-DE"], "value": [x / 3, x / 7]})


@cell()
def tensors(x: int) -> dict[str, Any]:
    import torch

    torch.manual_seed(x)
    return {"weight": torch.randn(64, 64) @ torch.randn(64, 64)}
