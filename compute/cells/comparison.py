"""Cells that compare translated adapters with the base model, the mean of the anchors and the tasks' own adapters.

Answers come in groups of tasks, `Sequence[Answers]`, as they were computed. A *run* is one training of all adapters:
what was measured under `method`, `mean`, `base` and `oracle`, each in groups. That a task's data cannot be used is
found when they are read, long after the cells were planned: of such a task all numbers are None, and `why` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compute.cells.adapters import Answers
from compute.engine.cell import cell

Groups = Sequence[Answers]
Run = Mapping[str, Groups]

LEFT_OUT = "it was left out: see the audit of the data"


@cell(label="{system}/{task}")
def score_of(system: str, task: str, answers: Groups) -> dict[str, Any]:
    """Take the score of one task from what was answered in all."""
    return _score(answers, task) or _nothing("accuracy", "low", "high", "failed", "legacy", "cut")


@cell(label="{task}")
def gate(task: str, base: Groups, oracle: Groups, seed: int) -> dict[str, Any]:
    """Say whether the task's own adapter gains enough for a share of its gain to mean anything."""
    from compute.adapters import scores

    found = _correct(task, base, oracle)
    if not found:
        return _nothing("difference", "low", "high") | {"usable": False}
    start, end = found
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

    known = _correct(task, method, mean, base, oracle)
    if not known:
        return _nothing("difference", "low", "high", "p", "value")
    right, middle, start, end = known
    found = paired_bootstrap(right, middle, seed=seed)
    gap = scores.gap(right, start, end, scores.gate(start, end, seed))
    compared = {"difference": found.mean, "low": found.low, "high": found.high, "p": mcnemar(right, middle)}
    return {**compared, "n": len(right), **gap}


@cell(label="{what}")
def pooled(what: str, tasks: Sequence[str], runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """Pool a method over *tasks* and runs: the share of the gap that it recovers, and its difference to the mean.

    Tasks that had to be left out are left out here, too; without any other all is None.
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
        ends = ("gap", "low", "high", "accuracy", "base", "oracle", "difference", "difference_low", "difference_high")
        return _nothing(*ends) | {"tasks": 0, "of": 0, "wins": 0}
    return {**scores.pooled(systems["method"], systems["base"], systems["oracle"], systems["mean"], seed)}


@cell(label="{what}")
def beside(
    what: str, tasks: Sequence[Sequence[str]], pairs: Sequence[Mapping[str, Groups]], seed: int
) -> dict[str, Any]:
    """Compare two ways to translate on the same examples: `first` minus `second` of each pair, over its *tasks*."""
    from compute.adapters import scores

    found = {
        (number, task): known
        for number, (names, pair) in enumerate(zip(tasks, pairs, strict=True))
        for task in names
        if (known := _correct(task, pair["first"], pair["second"]))
    }
    if not found:
        return _nothing("difference", "low", "high") | {"tasks": 0, "wins": 0}
    firsts, seconds = ({key: known[side] for key, known in found.items()} for side in (0, 1))
    return {**scores.compared(firsts, seconds, seed)}


@cell(label="{what}")
def over_draws(what: str, pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise draws of anchors: the mean of what was pooled for each, and the lowest and the highest draw."""
    gaps = [pool["gap"] for pool in pools if pool["gap"] is not None]
    middle = sum(gaps) / len(gaps) if gaps else None
    known = [pool["accuracy"] for pool in pools if pool["accuracy"] is not None]
    accuracy = sum(known) / len(known) if known else None
    ends = {"low": min(gaps, default=None), "high": max(gaps, default=None)}
    return {"gap": middle, **ends, "draws": len(pools), "accuracy": accuracy}


@cell(label="{task}")
def document_gap(task: str, methods: Mapping[str, Groups], base: Groups, oracle: Groups) -> dict[str, Any]:
    """Compute the gap recovered on one task as the document does: by the best of all *methods* on the test itself."""
    from compute.adapters import document

    known = _accuracies(task, base, oracle, *methods.values())
    if not known:
        return {"value": None}
    start, end, *found = known
    return {"value": document.document_rule(start, found, end)}


@cell(label="{domain}")
def domain_gap(domain: str, gaps: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any]) -> dict[str, Any]:
    """Set the document's average of a domain's gaps beside the pooled gap of the declared method."""
    from compute.adapters import document

    weak = "no task of the domain has an oracle that clearly beats the base" if pooled["of"] else "none was measured"
    why = "" if pooled["gap"] is not None else weak
    ours = {"pooled": pooled["gap"], "low": pooled["low"], "high": pooled["high"], "why": why}
    return {"document": document.document_average([gap["value"] for gap in gaps]), **ours}


@cell()
def document_criterion(tasks: Sequence[str], learned: Mapping[str, Groups], mean: Groups) -> dict[str, Any]:
    """Compute the document's criterion on our scores: the best learned method of each task minus the mean, averaged."""
    from compute.adapters import document

    known = [found for task in tasks if (found := _accuracies(task, mean, *learned.values()))]
    if not known:
        return {"value": None}
    return {"value": document.document_criterion([found[0] for found in known], [found[1:] for found in known])}


def _joined(groups: Groups) -> Answers:
    return {task: score for group in groups for task, score in group.items()}


def _score(groups: Groups, task: str) -> dict[str, Any] | None:
    """Find the score of a task; None for one that was left out."""
    return next((group[task] for group in groups if task in group), None)


def _nothing(*fields: str) -> dict[str, Any]:
    """Say of a task that was left out what is known: nothing, and why."""
    return dict.fromkeys(fields) | {"n": 0, "why": LEFT_OUT}


def _scores(task: str, *systems: Groups) -> list[dict[str, Any]]:
    """Find the scores of all *systems* on a task; none where one of them was not measured."""
    found = [score for groups in systems if (score := _score(groups, task))]
    return found if len(found) == len(systems) else []


def _accuracies(task: str, *systems: Groups) -> list[float]:
    return [score["accuracy"] for score in _scores(task, *systems)]


def _correct(task: str, *systems: Groups) -> list[list[bool]]:
    """Say for each system which examples of a task it got right, none where one was not measured.

    ValueError unless all had the same examples.
    """
    found = _scores(task, *systems)
    if len({score["ids"] for score in found if score["ids"]}) > 1:
        raise ValueError(f"{task}: systems were asked different questions, so they cannot be compared")
    return [score["correct"] for score in found]
