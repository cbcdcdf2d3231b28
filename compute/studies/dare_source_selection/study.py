"""Does DARE help cross-lingual merging, and does it matter how the sources are chosen?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compute.cells import evaluation as measure
from compute.cells import similarity as similarities
from compute.cells.zoo import check as check_models
from compute.cells.zoo import repositories as models_of_the_hub
from compute.engine.cell import Cell
from compute.settings import Hub
from compute.studies.dare_source_selection import claims, figures, more, published, tables
from compute.studies.dare_source_selection.config import Config, data_source
from compute.studies.dare_source_selection.design import RULES, Design
from compute.study import Repository, Row, Rows, Study


def check(config: Config) -> None:
    """Refuse data and models that cannot be had, before anything runs."""
    data_source(config).check(config.locales)
    check_models(config.models, config.locales)


def repositories(config: Config) -> list[Repository]:
    """List the models of the hub; the data name their commit themselves."""
    if not isinstance(config.models, Hub):
        return []
    names = models_of_the_hub(config.models, config.locales)
    return [Repository(name, "model", ("models", "revisions")) for name in names]


def results(config: Config) -> dict[str, Rows | Cell]:
    """Build every result of the study as rows of cells."""
    design = Design(config)
    return {
        "configurations": list(_configurations(config)),
        "primary": list(_primary(design)),
        "selection": list(_selection(design)),
        "dare": list(_dare(design)),
        "methods": list(_methods(design)),
        "include_target": list(_include_target(design)),
        "sources": list(_sources(design)),
        "transfer": list(_transfer(design)),
        "typology": similarities.ranking(design.similarity["uriel"], "sq-AL"),
        "spreads": list(_spreads(design)),
        "pooled": list(_pooled(design)),
        "more": list(more.more(design)),
        "more_pooled": list(more.more_pooled(design)),
        "faults": list(more.faults(design)),
        "faults_pooled": list(more.faults_pooled(design)),
        "flips": list(more.flips(design)),
    }


def _configurations(config: Config) -> Iterator[Row]:
    for name, similarity, rate, targets in (
        ("A", "URIEL", 0.0, [config.lead]),
        ("B", "REAL", 0.0, config.targets),
        ("C", "REAL", config.drop_rate, config.targets),
    ):
        yield {"config": name, "similarity": similarity, "drop_rate": rate, "targets": list(targets)}


def _outcome(design: Design, target: str, system: Cell) -> dict[str, object]:
    """Measure a system against the best zero-shot source of its target."""
    return {"target": target, "score": system, "goal": measure.goal(system, design.rivals(target), design.config.seed)}


def _primary(design: Design) -> Iterator[Row]:
    """The document's first table: URIEL against REAL on the lead target, both selected by Sinkhorn."""
    lead = design.config.lead
    for similarity in ("uriel", "real"):
        yield {
            "system": similarity.upper(),
            "sources": design.chosen(similarity, "sinkhorn", lead),
            **_outcome(design, lead, design.merge(similarity, "sinkhorn", lead)),
        }
    rivals = design.rivals(lead)
    yield {"system": "best source", "sources": measure.ranked(lead, rivals, 1), "score": measure.best(lead, rivals)}


def _selected(design: Design, similarity: str, rule: str, target: str, draw: int = 0) -> dict[str, object]:
    chosen = design.chosen(similarity, rule, target, draw=draw)
    random = rule == "random_k"
    return {
        "similarity": "none" if random else similarity.upper(),
        "rule": f"random, draw {draw + 1}" if random else rule,
        "sources": chosen,
        "chosen": measure.mean_transfer(chosen, design.rivals(target)),
        **_outcome(design, target, design.merge(similarity, rule, target, draw=draw)),
    }


def _selection(design: Design) -> Iterator[Row]:
    """Every rule on every target, at the document's method; random choices as the control."""
    for target in design.config.targets:
        for similarity, rule in RULES:
            yield _selected(design, similarity, rule, target)
        for draw in range(design.config.draws):
            yield _selected(design, "uriel", "random_k", target, draw)


def _dare(design: Design) -> Iterator[Row]:
    """The document's ablation: REAL by Sinkhorn, with and without DARE."""
    method, seed = design.config.methods[0], design.config.seed
    for target in design.config.targets:
        plain, dropped = design.merge("real", "sinkhorn", target), design.dare("sinkhorn", target, method)
        yield {
            **_outcome(design, target, plain),
            "dare": measure.replicates(f"{method}/dare/{target}", dropped),
            "loss": measure.pooled_difference(f"dare/{method}/{target}", dropped, [plain] * len(dropped), seed),
        }


def _methods(design: Design) -> Iterator[Row]:
    """Every method with and without DARE, on the sources with the best measured transfer."""
    seed = design.config.seed
    for target in design.config.targets:
        for method in design.config.methods:
            plain, dropped = design.merge("real", "top_k", target, method=method), design.dare("top_k", target, method)
            yield {
                "method": method,
                **_outcome(design, target, plain),
                "dare": measure.replicates(f"{method}/dare/top_k/{target}", dropped),
                "loss": measure.pooled_difference(
                    f"dare/{method}/top_k/{target}", dropped, [plain] * len(dropped), seed
                ),
            }


def _include_target(design: Design) -> Iterator[Row]:
    """IncTar: the target's own expert is a candidate too, and what is to be beaten (Goal 2); EMR as a reference."""
    for target in design.config.targets:
        own = design.zero_shot(target, target, "test")
        for method in dict.fromkeys([*design.config.methods, "emr"]):
            system = design.merge("real", "top_k", target, method=method, scope="IncTar")
            yield {
                "target": target,
                "method": method,
                "sources": design.chosen("real", "top_k", target, scope="IncTar"),
                "score": system,
                "own": own,
                "goal": measure.goal(system, {target: own}, design.config.seed),
            }


def _sources(design: Design) -> Iterator[Row]:
    """Each possible source of each target: how well it transfers, and which rule takes it with what weight."""
    for target in design.config.targets:
        for source, test in design.rivals(target).items():
            yield {
                "target": target,
                "source": source,
                "test": test,
                "dev": design.zero_shot(source, target, "dev"),
                "typology": similarities.similarity_of(design.similarity["uriel"], source, target),
                **{rule: _share(design, rule, source, target) for rule in ("sinkhorn", "top_k")},
            }


def _share(design: Design, rule: str, source: str, target: str) -> Cell:
    chosen = design.chosen("real", rule, target)
    return similarities.share(source, chosen, design.weights("real", rule, target, chosen))


def _transfer(design: Design) -> Iterator[Row]:
    for source, row in design.transfer.items():
        for target, score in row.items():
            yield {"source": source, "target": target, "score": score}


def _spreads(design: Design) -> Iterator[Row]:
    for target in design.config.targets:
        by_selection = {f"{s}/{r}": design.merge(s, r, target) for s, r in RULES}
        by_method = {m: design.merge("real", "top_k", target, method=m) for m in design.config.methods}
        yield {
            "target": target,
            "spread": measure.spreads(target, by_selection, by_method, design.config.seed),
        }


def _pooled(design: Design) -> Iterator[Row]:
    """Comparisons over all targets together, which the claims are judged by."""
    targets, seed = design.config.targets, design.config.seed
    by_rule = {(s, r): [design.merge(s, r, target) for target in targets] for s, r in RULES}
    for what, a, b in (
        ("REAL − URIEL, by Sinkhorn", ("real", "sinkhorn"), ("uriel", "sinkhorn")),
        ("REAL − URIEL, by top-k", ("real", "top_k"), ("uriel", "top_k")),
        ("top-k − Sinkhorn, on REAL", ("real", "top_k"), ("real", "sinkhorn")),
        ("top-k − Sinkhorn, on URIEL", ("uriel", "top_k"), ("uriel", "sinkhorn")),
    ):
        yield {"what": what, "pooled": measure.pooled_difference(what, by_rule[a], by_rule[b], seed)}
    plain = [design.merge("real", "sinkhorn", target) for target in targets]
    dropped = [design.dare("sinkhorn", target, design.config.methods[0]) for target in targets]
    pairs = [(cell, base) for cells, base in zip(dropped, plain, strict=True) for cell in cells]
    yield {
        "what": "DARE − no DARE",
        "pooled": measure.pooled_difference("DARE − no DARE", [a for a, _ in pairs], [b for _, b in pairs], seed),
    }


study = Study(
    title="DARE and source selection",
    summary="Does dropping and rescaling task vectors help cross-lingual merging, and does it matter how the "
    "sources are chosen?",
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
