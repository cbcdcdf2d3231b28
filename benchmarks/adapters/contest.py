"""The three parts, and their rounds: every lane is a process of its own, on one thread, and all run in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass
class Lane:
    """One command, what it is called, and what its runs printed."""

    name: str
    command: Sequence[str]
    runs: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""

    def run(self, limit: float) -> None:
        """Run it once more, unless it failed before."""
        if self.problem:
            return
        load = os.getloadavg()[0]
        try:
            done = subprocess.run(
                self.command, capture_output=True, text=True, timeout=limit, check=True, env=os.environ | ONE_THREAD
            )
            self.runs.append({**json.loads(done.stdout.splitlines()[-1]), "load": round(load, 2)})
        except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
            last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            self.problem = " ".join(last)[:200]
        print(f"{self.name}: {self.problem or 'done'}", flush=True)


TOOLS = {
    "Recount": "recount",
    "Ridge": "ridge",
    "KernelRidge": "kernel_ridge",
    "Recount, λ by leaving one out": "recount_chosen",
    "RidgeCV": "ridge_chosen",
    "KernelRidge by GridSearchCV": "kernel_ridge_chosen",
}
"""The lanes of one tensor: every tool with λ given, then every tool with λ to be chosen from 15."""


def one_tensor(folder: Path, peer: Path | None, ridge_cv: bool) -> list[Lane]:
    """Recount and scikit-learn on one tensor, saved in *folder*; RidgeCV only if asked for."""
    subprocess.run([sys.executable, str(HERE / "fill.py"), str(folder)], check=True, env=os.environ | ONE_THREAD)
    lanes = []
    for name, tool in TOOLS.items():
        ours = name.startswith("Recount")
        if ours or (peer and (ridge_cv or name != "RidgeCV")):
            lanes.append(_lane(name, "one_tensor.py", tool, folder, python=sys.executable if ours else peer or ""))
    return lanes


def whole(layers: int | None) -> list[Lane]:
    """Translate everything, by several methods."""
    ways = {
        "global ridge": ("global_ridge", "factor", 0.01),
        "per-tensor ridge": ("pertensor_ridge", "factor", 0.01),
        "per-tensor ridge, λ by leaving one out": ("pertensor_ridge", "factor", 0),
        "per-tensor ridge, ΔW": ("pertensor_ridge", "delta", 0.01),
    }
    cut = [layers] if layers else []
    return [_lane(name, "whole.py", *way, *cut) for name, way in ways.items()]


def together(adapters: int, steps: int) -> list[Lane]:
    """Train adapters in one network, and one by one."""
    return [_lane(name, "together.py", at_once, steps) for name, at_once in (("at once", adapters), ("one by one", 1))]


def _lane(name: str, script: str, *words: object, python: Path | str = sys.executable) -> Lane:
    return Lane(name, [str(python), str(HERE / script), *map(str, words)])


def contest(parts: Mapping[str, Sequence[Lane]], rounds: int, limit: float) -> None:
    """Let every lane of a part run in turn, *rounds* times."""
    for lanes in parts.values():
        for _ in range(rounds):
            for lane in lanes:
                lane.run(limit)
