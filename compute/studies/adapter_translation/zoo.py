"""The models, tasks and adapters that the study starts from: made here, of the hub, or collected elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.adapters.collection import opened
from compute.adapters.recorded import Recorded
from compute.cells import adapters as adapting
from compute.cells import language_models
from compute.cells.adapters import Policy
from compute.cells.tasks import task_data
from compute.engine.cell import Cell
from compute.errors import UsageError
from compute.evaluation.tasks import catalogue, factorial
from compute.evaluation.tasks.task import Task
from compute.models.places import FolderModel, HubModel, Place, is_folder
from compute.models.recipes import CausalArchitecture
from compute.studies.adapter_translation.config import Collected, Config, Hub, HubTasks, Made, MadeTasks
from compute.study import Repository

Groups = list[Cell]
Ask = Callable[[Sequence[str]], Cell | None]


@dataclass(frozen=True)
class Zoo:
    """What the study starts from; the same call is always the same cell."""

    config: Config
    tasks: tuple[Task, ...]
    data: Mapping[str, Cell]
    bases: Mapping[str, Cell | None]
    """The language models X and Y; None where only their adapters are known."""
    taught: Mapping[str, Cell] = field(default_factory=dict)
    """The models with what they know of their skills, where they are made here."""
    parts: Mapping[str, Sequence[Cell]] = field(default_factory=dict)
    """The adapters of X and Y, where they were made elsewhere."""
    recorded: Mapping[str, Mapping[str, Recorded]] = field(default_factory=dict)
    """What was measured elsewhere, by system and task."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Tasks that cannot be used at all, and why."""

    @property
    def measured(self) -> list[str]:
        """Name the tasks whose answers can be judged, or were."""
        known = self.recorded.get("base", {})
        return [task.name for task in self.tasks if task.metric != "none" or task.name in known]

    def adapters(self, model: str, policy: Policy, run: int = 0) -> Cell:
        """All tasks' adapters of a model."""
        if self.parts:
            return adapting.joined(model, self.parts[model])
        groups = [self._trained(model, policy, run, group) for group in self.grouped(list(self.data))]
        return adapting.joined(f"{model}/{policy}/{run}", groups)

    def _trained(self, model: str, policy: Policy, run: int, group: Sequence[str]) -> Cell:
        config, data = self.config, {task: self.data[task] for task in group}
        base = self.bases[model]
        return adapting.trained(model, base, data, _called(group), config.lora, policy, run, start=config.seed)

    def answers(self, system: str, tasks: Sequence[str], adapters: Ask) -> Groups | None:
        """Ask model Y about *tasks*, a group at a time, with what *adapters* gives for a group.

        Where the answers of the *system* were recorded elsewhere, those are taken; None where neither can be.
        """
        places = self.recorded.get(system, {})
        if places and all(task in places for task in tasks):
            return [adapting.recorded(places[task], system, task) for task in tasks]
        if self.bases["Y"] is None or not all(task in self.data for task in tasks):
            return None
        return [self._asked(system, group, adapters(group)) for group in self.grouped(tasks)]

    def _asked(self, system: str, group: Sequence[str], adapters: Cell | None) -> Cell:
        config, metrics = self.config, {task.name: task.metric for task in self.tasks if task.name in group}
        data = {task: self.data[task] for task in group}
        return adapting.answers(
            system, self.bases["Y"], adapters, data, metrics, _called(group), config.max_length, config.new_tokens,
            config.lora.dtype,
        )  # fmt: skip

    def grouped(self, tasks: Sequence[str]) -> Iterator[Sequence[str]]:
        """Cut *tasks* into the groups that one cell deals with."""
        size = self.config.lora.together
        return (tasks[start : start + size] for start in range(0, len(tasks), size))


def zoo(config: Config) -> Zoo:
    """Describe the models, tasks and adapters of a config."""
    if isinstance(config.models, Collected):
        return _collected(config, config.models)
    tasks = _tasks(config)
    data = {task.name: task_data(task.source, task.name) for task in tasks if task.source}
    if isinstance(config.models, Hub):
        bases = {name: _found(name, _place(where, config.models.revisions)) for name, where in _named(config.models)}
        return Zoo(config, tasks, data, bases)
    taught = {name: _taught(config, name, size) for name, size in _named(config.models)}
    bases = {name: language_models.language_model(name, cell) for name, cell in taught.items()}
    return Zoo(config, tasks, data, bases, taught)


def check(config: Config) -> None:
    """Raise UsageError if a model that the config names cannot be had; a collection is checked as it is opened."""
    if isinstance(config.models, Hub):
        for _, where in _named(config.models):
            _place(where, config.models.revisions).check()


def repositories(config: Config) -> list[Repository]:
    """List what a config needs from the hub: models and data sets."""
    places = (("models", "revisions"), ("tasks", "revisions"))
    models = (
        [where for _, where in _named(config.models) if not is_folder(where)] if isinstance(config.models, Hub) else []
    )
    data = catalogue.repositories(config.tasks.names or "all") if isinstance(config.tasks, HubTasks) else ()
    return [
        *(Repository(name, "model", places[0]) for name in models),
        *(Repository(name, "dataset", places[1]) for name in data),
    ]


def _named(models: Any) -> tuple[tuple[str, Any], ...]:
    return ("X", models.x), ("Y", models.y)


def _tasks(config: Config) -> tuple[Task, ...]:
    wanted = config.tasks
    if isinstance(wanted, HubTasks):
        return catalogue.tasks(wanted.names or "all", wanted.revisions, wanted.train, wanted.evaluation)
    assert isinstance(wanted, MadeTasks)  # as the config sees to
    return factorial.tasks(config.seed, wanted.train, wanted.evaluation)


def _taught(config: Config, name: str, size: CausalArchitecture) -> Cell:
    assert isinstance(config.models, Made) and isinstance(config.tasks, MadeTasks)
    return language_models.taught(name, size, config.models.teaching, config.tasks.evaluation, config.seed)


def _found(name: str, place: Place) -> Cell:
    return language_models.found_language_model(name, place)


def _collected(config: Config, models: Collected) -> Zoo:
    """Describe adapters that lie in a folder; a task without one of its own on Y could not be judged: left out."""
    found = opened(Path(models.folder).expanduser())
    left_out = {
        **found.unusable,
        **{one.name: "it has no adapter of its own on Y" for one in found.usable if not one.y},
    }
    entries = [one for one in found.usable if one.y]
    tasks = tuple(Task(one.name, one.domain, one.role, one.metric, one.data) for one in entries)
    data = {task.name: task_data(task.source, task.name) for task in tasks if task.source}
    bases = {name: _found(name, place) if place else None for name, place in _named(found)}
    parts = {
        "X": [adapting.found_adapter(one.name, one.x) for one in entries],
        "Y": [adapting.found_adapter(one.name, one.y) for one in entries],
    }
    return Zoo(config, tasks, data, bases, parts=parts, recorded=found.results, left_out=left_out)


def _place(name: str, revisions: Mapping[str, str]) -> Place:
    if is_folder(name):
        return FolderModel(Path(name).expanduser())
    if name not in revisions:
        raise UsageError(f"{name}: no revision is pinned; run `python -m compute lock` while the hub can be reached")
    return HubModel(name, revisions[name])


def _called(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{len(group)} tasks from {group[0]}"
