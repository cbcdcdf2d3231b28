"""Cells that compare translated adapters with the base model, the mean of the anchors and the tasks' own adapters.

Answers come in groups of tasks, `Sequence[Answers]`, as they were computed. A *run* is one training of all adapters:
what was measured under `method`, `mean`, `base` and `oracle`, each in groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compute.cells.adapters import Answers
from compute.engine.cell import cell

Groups = Sequence[Answers]
Run = Mapping[str, Groups]


@cell(label="{system}/{task}")
def score_of(system: str, task: str, answers: Groups) -> dict[str, Any]:
    """Take the score of one task from what was answered in all; raises ValueError for a task that was left out."""
    return _score(answers, task)


@cell(label="{task}")
def gate(task: str, base: Groups, oracle: Groups, seed: int) -> dict[str, Any]:
    """Say whether the task's own adapter gains enough for a share of its gain to mean anything."""
    from compute.adapters import scores

    start, end = _correct(task, base, oracle)
    return {**scores.gate(start, end, seed)}


@cell(label="{system}/{task}")
def outcome(
    system: str, task: str, method: Groups, mean: Groups, base: Groups, oracle: Groups, seed: int
) -> dict[str, Any]:
    """Compare a translated adapter with the mean of the anchors (difference, low, high, p), and measure its gap.

    The gap is `value`, or None with the reason in `why`.
    """
    from compute.adapters import scores
    from compute.evaluation.statistics import mcnemar, paired_bootstrap

    right, middle, start, end = _correct(task, method, mean, base, oracle)
    found = paired_bootstrap(right, middle, seed=seed)
    gap = scores.gap(right, start, end, scores.gate(start, end, seed))
    compared = {"difference": found.mean, "low": found.low, "high": found.high, "p": mcnemar(right, middle)}
    return {**compared, "n": len(right), **gap}


@cell(label="{what}")
def pooled(what: str, tasks: Sequence[str], runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """Pool a method over *tasks* and runs: the share of the gap that it recovers, and its difference to the mean.

    Tasks that had to be left out are left out here, too.
    """
    from compute.adapters import scores

    by_run = [{name: _joined(groups) for name, groups in run.items()} for run in runs]
    keys = [
        (number, task)
        for number, run in enumerate(by_run)
        for task in tasks
        if all(task in answers for answers in run.values())
    ]
    systems = {
        name: {(number, task): by_run[number][name][task]["correct"] for number, task in keys}
        for name in ("method", "base", "oracle", "mean")
    }
    if not keys:
        raise ValueError(f"{what}: none of {', '.join(tasks)} could be measured: see the data audit")
    return {**scores.pooled(systems["method"], systems["base"], systems["oracle"], systems["mean"], seed)}


@cell(label="{what}")
def beside(what: str, pairs: Sequence[Mapping[str, Groups]], seed: int) -> dict[str, Any]:
    """Compare two ways to translate on the same examples, over tasks: `first` minus `second` of each pair."""
    from compute.adapters import scores

    firsts, seconds = (
        {
            (number, task): score["correct"]
            for number, pair in enumerate(pairs)
            for task, score in _joined(pair[side]).items()
            if all(task in _joined(pair[other]) for other in ("first", "second"))
        }
        for side in ("first", "second")
    )
    return {**scores.compared(firsts, seconds, seed)}


@cell(label="{what}")
def over_draws(what: str, pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise draws of anchors: the mean of what was pooled for each, and the lowest and the highest draw."""
    gaps = [pool["gap"] for pool in pools if pool["gap"] is not None]
    middle = sum(gaps) / len(gaps) if gaps else None
    accuracy = sum(pool["accuracy"] for pool in pools) / len(pools)
    ends = {"low": min(gaps, default=None), "high": max(gaps, default=None)}
    return {"gap": middle, **ends, "draws": len(pools), "accuracy": accuracy}


@cell(label="{task}")
def document_gap(task: str, methods: Mapping[str, Groups], base: Groups, oracle: Groups) -> dict[str, Any]:
    """Compute the gap recovered on one task as the document does: by the best of all *methods* on the test itself."""
    from compute.adapters import scores

    start, end, *found = (_score(groups, task)["accuracy"] for groups in (base, oracle, *methods.values()))
    return {"value": scores.document_rule(start, found, end)}


@cell(label="{domain}")
def domain_gap(domain: str, gaps: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any]) -> dict[str, Any]:
    """Set the document's average of a domain's gaps beside the pooled gap of the declared method."""
    from compute.adapters import scores

    why = "" if pooled["gap"] is not None else "no task of the domain has an oracle that clearly beats the base"
    ours = {"pooled": pooled["gap"], "low": pooled["low"], "high": pooled["high"], "why": why}
    return {"document": scores.document_average([gap["value"] for gap in gaps]), **ours}


@cell()
def document_criterion(tasks: Sequence[str], learned: Mapping[str, Groups], mean: Groups) -> dict[str, Any]:
    """Compute the document's criterion on our scores: the best learned method of each task minus the mean, averaged."""
    from compute.adapters import scores

    best = [[_score(groups, task)["accuracy"] for groups in learned.values()] for task in tasks]
    return {"value": scores.document_criterion([_score(mean, task)["accuracy"] for task in tasks], best)}


def _joined(groups: Groups) -> Answers:
    return {task: score for group in groups for task, score in group.items()}


def _score(groups: Groups, task: str) -> dict[str, Any]:
    for group in groups:
        if task in group:
            return group[task]
    raise ValueError(f"{task} was left out, as its data cannot be used: see the data audit")


def _correct(task: str, *systems: Groups) -> list[list[bool]]:
    """Say for each system which examples of a task it got right; ValueError unless all had the same examples."""
    found = [_score(groups, task) for groups in systems]
    if len({score["ids"] for score in found}) > 1:
        raise ValueError(f"{task}: systems were asked different questions, so they cannot be compared")
    return [score["correct"] for score in found]
