"""Can a LoRA of one model be predicted from a LoRA of another?"""

from __future__ import annotations

from pathlib import Path

from compute.engine.cell import Cell
from compute.studies.adapter_translation import (
    audits,
    claims,
    comparisons,
    experiments,
    figures,
    notes,
    published,
    tables,
)
from compute.studies.adapter_translation.config import Config
from compute.studies.adapter_translation.design import Design
from compute.studies.adapter_translation.zoo import check, repositories
from compute.study import Rows, Study


def results(config: Config) -> dict[str, Rows | Cell]:
    """Build every result of the study as rows of cells."""
    design = Design(config)
    asked = {each.__name__: list(each(design)) for each in experiments.EXPERIMENTS}
    looked_into = {each.__name__: each(design) for each in audits.AUDITS}
    rows = {name: found if isinstance(found, Cell) else list(found) for name, found in looked_into.items()}
    compared = list(comparisons.comparisons(design))
    told = notes.notes(design, asked, rows)
    return {**asked, **rows, "comparisons": compared, "notes": told, **published.results()}


study = Study(
    title="Adapter translation",
    summary="A LoRA adapter belongs to one base model. Can the adapter of another model be predicted from it, given "
    "a few tasks with adapters on both?",
    config=Config,
    results=results,
    check=check,
    repositories=repositories,
    tables=tables.TABLES,
    figures=figures.FIGURES,
    claims=claims.CLAIMS,
    implied=published.implied,
    folder=Path(__file__).parent,
)
