"""What is looked into besides accuracy: data, skills, beginnings, neighbours, and how predictions fit."""

from __future__ import annotations

from collections.abc import Iterator

from compute.cells import language_models, tasks, translation
from compute.cells.translation import Rule
from compute.engine.cell import Cell
from compute.studies.adapter_translation.design import Design, Training
from compute.study import Row, Rows

RULES: tuple[Rule, ...] = ("raw cosine", "centred cosine")
SHOWN = 3
"""Nearest anchors that are shown, and counted for hubs: as many as the document names."""


def data(design: Design) -> Iterator[Row]:
    """Where each task's examples come from, and whether they can be used."""
    for name, task in design.tasks.items():
        if name in design.zoo.data:
            found = tasks.audited(name, task.metric, design.zoo.data[name])
            yield {"task": name, "domain": task.domain, "role": task.role, "metric": task.metric, "audit": found}


def overlaps(design: Design) -> Rows | Cell:
    """What anchors train on that held-out tasks are measured by."""
    known = design.zoo.data
    return tasks.overlaps(
        *({name: known[name] for name in names if name in known} for names in (design.anchors, design.held_out))
    )


def skills(design: Design) -> Rows | Cell:
    """How well the models that are made here know what their adapters are to call up."""
    return language_models.skills(design.zoo.taught) if design.zoo.taught else []


def starts(design: Design) -> Iterator[Row]:
    """Whether all adapters of a model begin alike, as far as can be seen of them."""
    for policy in design.policies:
        for model in ("X", "Y"):
            found = translation.start_audit(design.adapters(model, Training(policy)))
            yield {"model": model, "policy": policy, "found": found}


def diagnostics(design: Design) -> Iterator[Row]:
    """How near the declared method's predictions come to the adapters that were trained, weight by weight."""
    for policy in design.policies:
        for space in design.spaces:
            system = design.system(design.config.primary, space, design.others)
            found = design.diagnosed(system, list(design.tasks), Training(policy))
            yield {"policy": policy, "space": space, "found": found}


def selections(design: Design) -> Iterator[Row]:
    """Which anchors are nearest to each task that is held out."""
    for rule in RULES:
        for name in (name for name, task in design.tasks.items() if task.role == "held-out"):
            found = translation.nearest_of(name, rule, _nearest(design, rule))
            yield {"domain": design.domains[name], "task": name, "rule": rule, "top": found}


def hubs(design: Design) -> Cell:
    """How often each task is among the nearest of others."""
    return translation.hubs({rule: _nearest(design, rule) for rule in RULES}, list(design.tasks), design.domains)


def _nearest(design: Design, rule: Rule) -> Cell:
    return translation.nearest_anchors(design.grams("X", "factor"), list(design.tasks), design.domains, rule, SHOWN)


AUDITS = (data, overlaps, skills, starts, diagnostics, selections, hubs)
