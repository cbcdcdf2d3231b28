"""The studies' own cells: all their code can be followed, so that nothing counts that they do not use."""

from __future__ import annotations

import pytest

from compute import config as configs
from compute import study as studies
from compute.engine.cell import Cell, reachable
from compute.engine.code import Code


def cells(slug: str) -> list[Cell]:
    study = studies.load(slug)
    return reachable(list(studies.wanted(study.results(configs.load(study, "mini", ())))))


@pytest.mark.parametrize("slug", studies.slugs())
def test_no_cell_of_a_study_counts_more_than_it_uses(slug: str) -> None:
    code = Code()
    assert {line for cell in cells(slug) for line in code.widened(cell)} == set()


def test_a_cell_that_merges_has_its_own_method_among_its_parts_and_no_other() -> None:
    code = Code()
    methods = {
        name.partition(":")[0].rpartition(".")[2]
        for cell in cells("dare-source-selection")
        if cell.name.startswith("logits/ties/")
        for name in code.parts(cell)
        if name.startswith("compute.merging.methods.")
    }
    assert methods == {"ties", "best_source", "keep_base", "seen_rows"}, "the last three are policies of any recipe"
