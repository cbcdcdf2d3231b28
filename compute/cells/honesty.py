"""The cell that says what went wrong or remains weak, from what happened: nobody types its sentences' numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compute.engine.cell import cell

Note = dict[str, str]

KNOWN = 0.9
"""A skill that is known to less than this share of its questions is no skill to call up."""


@cell()
def notes(
    gates: Mapping[str, Mapping[str, Any]],
    oracles: Mapping[str, Mapping[str, Any]],
    audits: Mapping[str, Mapping[str, Any]],
    domains: Mapping[str, str],
    anchors: Sequence[str],
    primary: Sequence[Mapping[str, Any]],
    least: int,
    left_out: Mapping[str, str],
    skills: Sequence[Mapping[str, Any]] = (),
) -> list[Note]:
    """Say what a reader must know to judge the study's results.

    *gates* and *oracles* are of every task that was measured, *audits* of every task with data, *primary* what the
    declared method came to over all tasks (one entry, or none). *least* is how many anchors a domain should have,
    *left_out* what could not be used at all, *skills* what models that were made here know.
    """
    measured = {task: score for task, score in oracles.items() if score["n"]}
    return [
        *(_note("failure", f"{task} was left out: {why}.") for task, why in left_out.items()),
        *_unlearnt(skills),
        *_dropped(audits),
        *_weak({task: gate for task, gate in gates.items() if task in measured}),
        *_coarse(measured),
        *_unread(measured),
        *_cut(measured),
        *_underpowered(audits, domains, anchors, least),
        *_behind(primary),
    ]


@cell(label="{domain}")
def domain_size(
    domain: str, audits: Mapping[str, Mapping[str, Any]], anchors: Sequence[str], least: int
) -> dict[str, Any]:
    """Count the domain's *anchors* that were not dropped, and say whether they are fewer than *least*."""
    count = len(_not_dropped(anchors, audits))
    return {"anchors": count, "underpowered": count < least}


def _unlearnt(skills: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Name the skills that a model does not know well: what its adapters are to call up is not all there."""
    return [
        _note("failure", f"Model {row['model']} knows {row['skill']} to {100 * row['accuracy']:.0f} % alone.")
        for row in skills
        if row["accuracy"] < KNOWN
    ]


def _dropped(audits: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    return [
        _note("failure", f"{task} was {found['status']}: {found['reason'].rstrip('.')}.")
        for task, found in audits.items()
        if found["status"] != "ok"
    ]


def _weak(gates: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    if not gates:
        return [_note("scope", "No answers were measured: the page shows what the weights say, and no accuracy.")]
    weak = {task: gate["why"] for task, gate in gates.items() if not gate["usable"]}
    if gates and not weak:
        return [_note("scope", "On every task the trained adapter clearly beats the base: all gaps mean something.")]
    return [_note("power", f"No gap is given for {task}: {why}.") for task, why in weak.items()]


def _coarse(oracles: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    few = {task: score["n"] for task, score in oracles.items() if score["n"] < 30}
    return [
        _note("power", f"{task} is measured by {n} examples: one more right answer is {100 / n:.0f} points.")
        for task, n in few.items()
    ]


def _unread(oracles: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    return [
        _note(
            "metric",
            f"Of {score['n']} answers to {task}, {score['failed']} could not be read, even with its own adapter.",
        )
        for task, score in oracles.items()
        if score["failed"]
    ]


def _cut(oracles: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    return [
        _note("metric", f"{100 * score['cut']:.0f} % of the prompts of {task} were too long and lost their beginning.")
        for task, score in oracles.items()
        if score.get("cut")
    ]


def _not_dropped(tasks: Sequence[str], audits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [task for task in tasks if audits.get(task, {"status": "ok"})["status"] != "dropped"]


def _underpowered(
    audits: Mapping[str, Mapping[str, Any]], domains: Mapping[str, str], anchors: Sequence[str], least: int
) -> list[Note]:
    usable = _not_dropped(anchors, audits)
    counts = {domain: sum(domains[task] == domain for task in usable) for domain in dict.fromkeys(domains.values())}
    return [
        _note("power", f"The domain {domain} has {count} anchors, fewer than {least}: under-powered.")
        for domain, count in counts.items()
        if count < least
    ]


def _behind(primary: Sequence[Mapping[str, Any]]) -> list[Note]:
    return [
        _note("scope", f"The declared method beats the mean on {found['wins']} of {found['of']} tasks, no more.")
        for found in primary
        if found["wins"] < found["of"]
    ]


def _note(kind: str, note: str) -> Note:
    return {"kind": kind, "note": note}
