from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from compute.merging.merge import Job, merge_weights
from compute.merging.recipe import Recipe
from compute.weights.memory import InMemory, MemorySink


def apply(method: str, task_vectors: Any, coefficients: Sequence[float], **options: Any) -> Any:
    """Merge task vectors [N, …], as a tensor or a list, as one tensor of a model whose base is zero."""
    rows = torch.as_tensor(task_vectors)
    base = {"w": torch.zeros_like(rows[0])}
    return merged(
        base, {f"{i}": {"w": row} for i, row in enumerate(rows)}, Recipe(method, tuple(coefficients), options)
    )["w"]


def merged(
    base: Mapping[str, Any], experts: Mapping[str, Mapping[str, Any]], recipe: Recipe, data: Any = None, **how: Any
) -> dict[str, Any]:
    """Merge state dicts through the streaming engine; *how* goes to merge_weights."""
    whole = InMemory(base)
    sink = MemorySink(whole.tensors().values())
    sources = {name: InMemory(expert) for name, expert in experts.items()}
    merge_weights(whole, sources, [Job(recipe, sink, data or {})], **{"threads": 1, **how})
    return sink.torch()
