"""A collection of small adapters in which a task is the same mixture of three skills on both models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from compute.adapters import peft_folder
from compute.adapters.adapter import Adapter, Factors

SKILLS, RANK = 3, 4
KINDS = ("self_attn.q_proj", "self_attn.v_proj")
SIZES = {"x": (4, 12), "y": (3, 20)}
"""Layers and width of each model."""

TASKS = {
    "gsm8k": ("math", "anchor"), "svamp": ("math", "anchor"), "mbpp": ("code", "anchor"),
    "apps": ("code", "anchor"), "arc": ("science", "anchor"), "gsm_hard": ("math", "held-out"),
}  # fmt: skip


def mixture(task: str) -> np.ndarray:
    """How much of each skill a task needs."""
    return np.random.default_rng(sum(map(ord, task))).normal(size=SKILLS)


def adapter(model: str, task: str, *, seed: int = 0, rank: int = RANK) -> Adapter:
    """Make the adapter of a task: one A for all tasks of a *seed*, and B linear in the mixture."""
    layers, width = SIZES[model]
    random = np.random.default_rng([seed, layers])
    modules = {}
    for layer in range(layers):
        for kind in KINDS:
            a, skills = random.normal(size=(rank, width)), random.normal(size=(SKILLS, width, rank))
            b = np.tensordot(mixture(task), skills, 1)
            modules[f"model.layers.{layer}.{kind}"] = Factors(a.astype(np.float32), b.astype(np.float32), 2.0)
    return Adapter(modules)


@dataclass(frozen=True)
class Shelf:
    """A collection on the disk, which tests change."""

    folder: Path

    def say(self, **fields: Any) -> None:
        """Write collection.yaml anew with *fields* changed; None takes one out."""
        path = self.folder / "collection.yaml"
        said = {**yaml.safe_load(path.read_text(encoding="utf-8")), **fields}
        path.write_text(yaml.safe_dump({key: each for key, each in said.items() if each is not None}), encoding="utf-8")

    def task(self, name: str, **fields: Any) -> None:
        """Change fields of one task in collection.yaml, or add it."""
        tasks = yaml.safe_load((self.folder / "collection.yaml").read_text(encoding="utf-8"))["tasks"]
        self.say(tasks={**tasks, name: {**tasks.get(name, {}), **fields}})

    def result(self, system: str, task: str, said: Any) -> Path:
        """Write a file of results."""
        path = self.folder / "results" / system / f"{task}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
        return path

    def place(self, model: str, task: str) -> Path:
        """Where an adapter lies."""
        return self.folder / "adapters" / model / task


def make(folder: Path, tasks: Mapping[str, Sequence[str]] = TASKS, **kinds: Any) -> Shelf:
    """Write a collection; held-out tasks have no adapter on Y."""
    shelf = Shelf(folder)
    for name, (_, role) in tasks.items():
        peft_folder.write(adapter("x", name, **kinds), shelf.place("x", name), base_model="lab/small")
        if role == "anchor":
            peft_folder.write(adapter("y", name, **kinds), shelf.place("y", name), base_model="lab/other")
    said = {"tasks": {name: {"domain": domain, "role": role} for name, (domain, role) in tasks.items()}}
    (folder / "collection.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return shelf
