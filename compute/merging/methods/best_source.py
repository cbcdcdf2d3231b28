"""Best source: one expert alone, that of the largest coefficient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.method import merge_method

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(title="Best source", paper="", needs_base=False)
def best_source(vectors: TaskVectors, coefficients: Array) -> Combine:
    """Merge to the expert with the largest of the *coefficients* [N], the first by name where several tie.

    A baseline, and what becomes of a classification head whose experts have nothing in common.
    """
    best = min((-float(weight), vectors.sources[n], n) for n, weight in enumerate(coefficients))[2]
    return lambda chunk: chunk[best]
