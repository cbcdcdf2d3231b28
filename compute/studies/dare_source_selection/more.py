"""Results beyond the document: every way to merge side by side, votes, and what the predecessor's faults cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compute.cells import evaluation as measure
from compute.cells.models import Policies
from compute.engine.cell import Cell
from compute.studies.dare_source_selection.config import STATISTICS, Variant
from compute.studies.dare_source_selection.design import AS_PUBLISHED, Design
from compute.study import Row

YARDSTICK = "average"
PUBLISHED = {"real": "transposed", "uriel": "uriel"}
"""Each similarity as the document's predecessor read it."""


def _ways(design: Design, target: str) -> Iterator[tuple[str, str, Cell]]:
    """Give kind, name and measurement of everything that is done with the same sources of *target*."""
    config = design.config
    for method in config.more_methods:
        if method != YARDSTICK:
            needs_data = method in STATISTICS or method == "adamerging"
            yield "merge with data" if needs_data else "merge", method, design.by_any(method, target)
    for variant in config.variants:
        changed = design.merge("real", "top_k", target, method=YARDSTICK, policies=_policies(variant, config.lines))
        yield "average, changed", f"average, {variant}", changed
    for rule in config.ensembles:
        yield "ensemble", f"{rule} (ensemble)", design.vote(rule, target)


def _policies(variant: Variant, lines: tuple[float, float]) -> Policies:
    match variant:
        case "seen_rows":
            return Policies(embeddings="seen")
        case "best_head":
            return Policies(head="best")
        case "lines":
            return Policies(lines=lines)


def _yardstick(design: Design, target: str) -> Cell:
    return design.merge("real", "top_k", target, method=YARDSTICK)


def more(design: Design) -> Iterator[Row]:
    """Every way on every target, against the weighted average of the same sources."""
    for target in design.config.targets:
        average = _yardstick(design, target)
        yield {"target": target, "kind": "merge", "way": YARDSTICK, "score": average}
        for kind, way, system in _ways(design, target):
            gain = _difference(design, f"{way} − average/{target}", [system], [average])
            yield {"target": target, "kind": kind, "way": way, "score": system, "gain": gain}


def more_pooled(design: Design) -> Iterator[Row]:
    """Every way against the weighted average, over the utterances of all targets."""
    targets = design.config.targets
    averages = [_yardstick(design, target) for target in targets]
    for ways in zip(*(_ways(design, target) for target in targets), strict=True):
        kind, way, _ = ways[0]
        gain = _difference(design, f"{way} − average", [system for *_, system in ways], averages)
        yield {"kind": kind, "way": way, "gain": gain}


def _difference(design: Design, what: str, a: Sequence[Cell], b: Sequence[Cell]) -> Cell:
    return measure.pooled_difference(what, a, b, design.config.seed)


def fault_methods(design: Design) -> list[str]:
    """Name the config's methods that the predecessor has, too; TIES, which the document used, where there is none."""
    return [method for method in design.config.methods if method in AS_PUBLISHED] or ["ties"]


def _steps(design: Design, similarity: str, target: str, method: str) -> tuple[Cell, Cell, Cell]:
    """Measure a merge with all faults, with other sources and weights, and then on the pre-trained base as well."""
    published = design.as_published(PUBLISHED[similarity], "merginguriel", target, method)
    other_sources = design.as_published(similarity, "top_k", target, method)
    return published, other_sources, design.merge(similarity, "top_k", target, method=method)


def faults(design: Design) -> Iterator[Row]:
    """The predecessor's merges as it published them, and corrected, on every target."""
    for target in design.config.targets:
        for similarity, published in PUBLISHED.items():
            for method in fault_methods(design):
                faulty, sources, corrected = _steps(design, similarity, target, method)
                yield {
                    "target": target,
                    "similarity": similarity.upper(),
                    "method": method,
                    "chosen": design.chosen(published, "merginguriel", target),
                    "faulty": faulty,
                    "corrected_sources": design.chosen(similarity, "top_k", target),
                    "sources": sources,
                    "corrected": corrected,
                    "cost": _difference(
                        design, f"{method}/{similarity}/corrected − published/{target}", [corrected], [faulty]
                    ),
                }


def faults_pooled(design: Design) -> Iterator[Row]:
    """What the faults cost over all targets: together, those of the choice, and that of the base."""
    for similarity in PUBLISHED:
        for method in fault_methods(design):
            steps = [_steps(design, similarity, target, method) for target in design.config.targets]
            faulty, sources, corrected = (list(cells) for cells in zip(*steps, strict=True))
            name = f"{method}/{similarity}"
            yield {
                "similarity": similarity.upper(),
                "method": method,
                "cost": _difference(design, f"{name}/corrected − published", corrected, faulty),
                "choice": _difference(design, f"{name}/other sources − published", sources, faulty),
                "base": _difference(design, f"{name}/corrected − other sources", corrected, sources),
            }


def flips(design: Design) -> Iterator[Row]:
    """What another type of numbers changes; nothing in float32."""
    if design.config.dtype != "float32":
        for locale in design.config.locales:
            yield {"locale": locale, "flips": design.flips(locale)}
