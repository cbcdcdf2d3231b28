"""Adapters that were made elsewhere, as the study starts from them: what can be used of a collection, and what not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compute.adapters.alike import Looks
from compute.adapters.collection import LEAST_ANCHORS, Collection, opened
from compute.adapters.recorded import BESIDE, OTHERS
from compute.cells import adapters as adapting
from compute.cells import language_models
from compute.cells.tasks import task_data
from compute.errors import UsageError
from compute.evaluation.tasks.task import Task
from compute.studies.adapter_translation.config import Collected, Config
from compute.studies.adapter_translation.zoo import Zoo, named


def collected(config: Config, models: Collected) -> Zoo:
    """Describe adapters that lie in a folder; a task without one of its own on Y could not be judged: left out."""
    folder = Path(models.folder).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"no collection in {folder}: name the folder of yours by --set models.folder=PATH; docs/guide/adapters.md"
            " shows one"
        )
    looks = Looks()
    found = opened(folder, looks.audit)
    unusable = {name: why.replace(f"{folder}/", "") for name, why in found.unusable.items()}  # whose folder it is
    left_out = {**unusable, **_unfit(found, looks)}
    entries = [one for one in found.usable if one.name not in left_out]
    if sum(one.role == "anchor" for one in entries) < LEAST_ANCHORS:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"{folder}: fewer than {LEAST_ANCHORS} anchors are left, without {why}")
    tasks = tuple(Task(one.name, one.domain, one.role, one.metric, one.data) for one in entries)
    data = {task.name: task_data(task.source, task.name) for task in tasks if task.source}
    bases = {name: language_models.found_language_model(name, place) if place else None for name, place in named(found)}
    parts = {
        "X": {one.name: adapting.found_adapter(one.name, one.x) for one in entries},
        "Y": {one.name: adapting.found_adapter(one.name, one.y) for one in entries},
    }
    made = Zoo(config, tasks, data, bases, parts=parts, recorded=found.results, left_out=left_out)
    return replace(made, left_out={**left_out, **_incomplete(made)})


def check_model(models: Collected) -> None:
    """Raise UsageError if a model Y that is to be asked cannot be had; all else is checked as it is opened."""
    found = opened(Path(models.folder).expanduser(), lambda folder: "")
    if found.y and any(task.data for task in found.tasks):
        found.y.check()


def _unfit(found: Collection, looks: Looks) -> dict[str, str]:
    """Say of the usable tasks which cannot be judged, or stand beside the others, and why."""
    alone = {one.name: "it has no adapter of its own on Y" for one in found.usable if not one.y}
    places = {
        model: {one.name: place.path for one in found.usable if (place := getattr(one, model)) and one.y}
        for model in ("x", "y")
    }
    strange = {
        name: f"its adapter on model {model.upper()} {how}"
        for model, folders in places.items()
        for name, how in looks.strangers(folders).items()
    }
    return {**alone, **strange}


def _incomplete(zoo: Zoo) -> dict[str, str]:
    """Say what was recorded of some tasks and neither recorded of the others nor can be asked: it is not shown."""
    somewhere = {task for places in zoo.recorded.values() for task in places}
    found = {}
    for system in dict.fromkeys((*(BESIDE if somewhere else ()), *zoo.recorded)):
        places = zoo.recorded.get(system, {})
        known = somewhere if system in BESIDE else zoo.measured
        every = system in BESIDE or system.endswith(f"-{OTHERS}")
        wanted = [task.name for task in zoo.tasks if task.name in known and (every or task.role == "held-out")]
        if lacking := [task for task in wanted if task not in places and not zoo.can_ask(task)]:
            found[f"what was recorded of {system}"] = f"there is nothing for {', '.join(lacking)}"
    return found
