"""Cells that load the tasks of generative models, and audit their data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compute.engine.cell import cell

if TYPE_CHECKING:
    from compute.evaluation.tasks.task import Metric, TaskSource

Data = dict[str, Any]
"""The examples of a task as the store keeps them: see compute.evaluation.tasks.task.to_tree."""


@cell(label="{name}", libraries=("datasets",))
def task_data(source: TaskSource, name: str) -> Data:
    """Make or read the examples of one task."""
    from compute.evaluation.tasks.task import to_tree

    return to_tree(source.load())


@cell(label="{name}")
def audited(name: str, metric: Metric, data: Data) -> dict[str, Any]:
    """Say where the examples of a task come from, how many there are, and whether they can be used."""
    from compute.evaluation.tasks.audit import audit
    from compute.evaluation.tasks.task import from_tree

    return audit(from_tree(data), metric)


@cell()
def overlaps(anchors: Mapping[str, Data], held_out: Mapping[str, Data]) -> list[dict[str, Any]]:
    """List the pairs of an anchor and a held-out task of which the one trains on what the other is measured by."""
    from compute.evaluation.tasks.audit import overlapping
    from compute.evaluation.tasks.task import from_tree

    return overlapping(
        {name: from_tree(data) for name, data in anchors.items()},
        {name: from_tree(data) for name, data in held_out.items()},
    )
