"""Writes what was measured as Markdown for people and as JSON beside it."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from contest import Contender

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Of a CPU: what decides how fast it multiplies."""


@dataclass
class Report:
    """All that one run found."""

    facts: dict[str, Any]
    contenders: list[Contender]
    utterances: int
    besides: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the tables."""
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        besides = "\n".join(f"- {name}: {value}" for name, value in self.besides.items())
        return "\n\n".join(["# Classifying many utterances", facts, self._table(), "## Besides", besides]) + "\n"

    def _table(self) -> str:
        rows = [self._row(item) for item in self.contenders]
        names = ["", "utterances/s", "× batch 1", "× batch 32", "CPU s", "rounds, s", "predictions that differ"]
        return table(names, rows)

    def _row(self, item: Contender) -> list[str]:
        one, many = self.contenders[:2]
        spread = f"{min(item.seconds):.2f} to {max(item.seconds):.2f}"
        ratios = [f"{other.wall / item.wall:.2f}" for other in (one, many)]
        return [
            item.name,
            f"{self.utterances / item.wall:.1f}",
            *ratios,
            f"{item.cpu:.2f}",
            spread,
            f"{self.flips(item)}",
        ]

    def flips(self, item: Contender) -> int:
        """Count the predictions that are not those of the pipeline with batches of one."""
        return int((item.predicted != self.contenders[0].predicted).sum())

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "facts": self.facts,
            "utterances": self.utterances,
            "contenders": [
                {"name": item.name, "seconds": item.seconds, "cpu_seconds": item.cpu_seconds, "flips": self.flips(item)}
                for item in self.contenders
            ],
            "besides": self.besides,
        }

    def write(self, path: Path) -> None:
        """Write *path* and, beside it, the same with the suffix .json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(self.plain(), indent=1), encoding="utf-8")


def facts() -> dict[str, Any]:
    """Return what the machine is, and how busy it is now."""
    model, flags = _cpu()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": f"{model}, {os.cpu_count()} cores, {' '.join(flags) or 'no wide vectors'}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "libraries": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "load before": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> tuple[str, list[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor(), []
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return values.get("model name", ""), [name for name in FEATURES if name in values.get("flags", "").split()]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
