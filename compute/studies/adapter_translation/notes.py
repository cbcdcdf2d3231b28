"""What is handed over to be told honestly: see compute.cells.honesty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from compute.cells import honesty
from compute.engine.cell import Cell
from compute.studies.adapter_translation.design import Design
from compute.study import Rows

LEAST = 6
"""Anchors that a domain should have, as the document asks."""


def notes(design: Design, asked: Mapping[str, Rows], looked_into: Mapping[str, Rows | Cell]) -> Cell:
    """Gather the study's gates, scores and audits, and have them put into words."""
    tasks = {cast(str, row["task"]): row for row in asked["tasks"]}
    data = cast(Rows, looked_into["data"])
    return honesty.notes(
        gates={task: row["gate"] for task, row in tasks.items()},
        oracles={task: row["oracle"] for task, row in tasks.items()},
        audits={cast(str, row["task"]): row["audit"] for row in data},
        domains=design.domains,
        anchors=design.anchors,
        primary=[row["pooled"] for row in asked["methods"] if row["primary"]],
        least=LEAST,
        left_out=design.zoo.left_out,
        skills=looked_into["skills"],
    )
