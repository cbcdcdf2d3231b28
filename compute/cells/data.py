"""Cells that load data sets: one locale at a time, so that a new locale leaves the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.engine.cell import cell

if TYPE_CHECKING:
    from pandas import DataFrame

    from compute.evaluation.sources import Source


@cell(label="{locale}", libraries=("datasets",))
def utterances(source: Source, locale: str) -> DataFrame:
    """Load one locale: id, locale, partition, scenario, intent, utt; one row an utterance, all partitions."""
    return source.load(locale)
