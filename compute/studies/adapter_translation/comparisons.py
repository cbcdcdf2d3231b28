"""Two ways to translate beside each other, on the same examples: what claims are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from compute.cells import comparison
from compute.studies.adapter_translation.claims import DOMAINS, MORE, NEAREST, PAIRING, TENSORS
from compute.studies.adapter_translation.design import Design, Pool, System
from compute.study import Row


class Pair(NamedTuple):
    """Two ways to translate, and the tasks that both are asked about."""

    first: System
    second: System
    tasks: Sequence[str]


def comparisons(design: Design) -> Iterator[Row]:
    """Compare pairs of ways, a row for each thing that a claim is about; none where something was not measured."""
    for what, pairs in {**_everywhere(design), **_held_out(design)}.items():
        asked = [{"first": design.asked(p.first, p.tasks), "second": design.asked(p.second, p.tasks)} for p in pairs]
        known = [{side: groups for side, groups in pair.items() if groups} for pair in asked]
        if asked and all(len(pair) == 2 for pair in known):
            tasks = [list(pair.tasks) for pair in pairs]
            yield {"what": what, "found": comparison.beside(what, tasks, known, design.config.seed)}


def _everywhere(design: Design) -> dict[str, list[Pair]]:
    """Pair what is measured on every task."""

    def pair(first: str, second: str) -> list[Pair]:
        return [Pair(_by(design, first, design.others), _by(design, second, design.others), design.measured)]

    return {TENSORS: pair("pertensor_ridge", "global_ridge"), PAIRING: pair(design.config.primary, "permuted")}


def _held_out(design: Design) -> dict[str, list[Pair]]:
    """Pair what is measured on the tasks that the fixed split holds out."""
    return {NEAREST: _nearest(design), MORE: _more(design), DOMAINS: _domains(design)}


def _nearest(design: Design) -> list[Pair]:
    """The nearest anchors, fewer than half of them, beside all; as near to the document's 8 as the config has it."""
    few = [count for count in design.neighbours if 2 * count < len(design.anchors)]
    return [
        Pair(
            design.system("topk_pertensor_ridge", design.config.space, design.fixed, k=count, centred=True),
            _by(design, "pertensor_ridge", design.fixed),
            design.held_out,
        )
        for count in sorted(few, key=lambda count: abs(count - 8))[:1]
    ]


def _more(design: Design) -> list[Pair]:
    """The most anchors beside the fewest, draw by draw."""
    counts, declared = design.anchor_counts, design.config.primary
    if len(counts) < 2:
        return []
    drawn = (
        [_by(design, declared, design.drawn(end(counts), draw)) for end in (max, min)]
        for draw in range(design.config.draws)
    )
    return [Pair(most, fewest, design.held_out) for most, fewest in drawn]


def _domains(design: Design) -> list[Pair]:
    """The anchors of the tasks' own domain beside those of each other domain."""
    own, declared = design.by_domain, design.config.primary
    held_out = {domain: [task for task in design.held_out if design.domains[task] == domain] for domain in own}
    return [
        Pair(_by(design, declared, own[domain]), _by(design, declared, pool), held_out[domain])
        for domain in own
        for other, pool in own.items()
        if other != domain and held_out[domain]
    ]


def _by(design: Design, method: str, pool: Pool) -> System:
    return design.system(method, design.config.space, pool)
