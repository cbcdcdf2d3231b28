"""The cells of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from compute.studies.bench import helper, tally

from compute.engine.cell import cell


@cell(label="{value}")
def measured(value: int) -> int:
    """Measure one value."""
    # A remark that the benchmark edits: 0
    tally.count("measured")
    offset = 1
    return helper.measure(value) + offset


@cell(label="{name}")
def summed(name: str, values: Sequence[int]) -> int:
    """Add up."""
    tally.count("summed")
    return sum(values)
