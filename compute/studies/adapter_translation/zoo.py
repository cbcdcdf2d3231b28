"""The models, tasks and adapters that the study starts from: made here, of the hub, or collected elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.adapters.recorded import BESIDE, Recorded
from compute.cells import adapters as adapting
from compute.cells import language_models
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
    parts: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    """The adapters of X and Y, by task, where they were made elsewhere."""
    recorded: Mapping[str, Mapping[str, Recorded]] = field(default_factory=dict)
    """What was measured elsewhere, by system and task."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Tasks and results that cannot be used at all, and why."""
    _adapters: dict[tuple[object, ...], Cell] = field(default_factory=dict)

    @property
    def measured(self) -> list[str]:
        """Name the tasks whose answers can be judged, or were, without translation and with their own adapters."""
        known = [self.recorded.get(system, {}) for system in BESIDE]
        return [
            task.name
            for task in self.tasks
            if (self.can_ask(task.name) and task.metric != "none") or all(task.name in places for places in known)
        ]

    def adapters(self, model: str, policy: str, run: int = 0, tasks: Sequence[str] = ()) -> Cell:
        """All tasks' adapters of a model, or those of *tasks* where they can be had without the others."""
        call = (model, policy, run, *tasks)
        if call not in self._adapters:
            self._adapters[call] = self._joined(model, policy, run, tasks)
        return self._adapters[call]

    def _joined(self, model: str, policy: str, run: int, tasks: Sequence[str]) -> Cell:
        if self.parts:
            wanted = tasks or list(self.parts[model])
            return adapting.joined(model, [self.parts[model][task] for task in wanted])
        groups = [self._trained(model, policy, run, group) for group in self.grouped(list(self.data))]
        return adapting.joined(f"{model}/{policy}/{run}", groups)

    def _trained(self, model: str, policy: str, run: int, group: Sequence[str]) -> Cell:
        config, data = self.config, {task: self.data[task] for task in group}
        base = self.bases[model]
        return adapting.trained(model, base, data, _called(group), config.lora, policy, run, start=config.seed)

    def answers(
        self,
        system: str,
        tasks: Sequence[str],
        adapters: Ask | None,
        *,
        recorded: Sequence[str] = (),
        among: Sequence[str] = (),
    ) -> Groups | None:
        """Ask model Y about *tasks*, a group of *among* at a time, with what *adapters* gives for a group.

        What was *recorded* elsewhere, under one of these names, is taken from there. None where neither can be had for
        all *tasks*: *adapters* is None where there can be none.
        """
        places = {task: place for name in recorded for task, place in self.recorded.get(name, {}).items()}
        known = [adapting.recorded(places[task], system, task) for task in tasks if task in places]
        left = [task for task in tasks if task not in places]
        if not tasks or (left and adapters is None) or not all(map(self.can_ask, left)):
            return None
        others = [task for task in among or tasks if task not in places and self.can_ask(task)]
        groups = [group for group in self.grouped(others) if set(group) & set(left)]
        return [*known, *(self._asked(system, group, adapters(group)) for group in groups if adapters)]

    def can_ask(self, task: str) -> bool:
        """Whether there is a model Y, and something to ask it."""
        return self.bases["Y"] is not None and task in self.data

    def _asked(self, system: str, group: Sequence[str], adapters: Cell | None) -> Cell:
        config, metrics = self.config, {task.name: task.metric for task in self.tasks if task.name in group}
        data = {task: self.data[task] for task in group}
        return adapting.answers(
            system, self.bases["Y"], adapters, data, metrics, _called(group), config.max_length, config.new_tokens,
            config.asking.dtype,
        )  # fmt: skip

    def grouped(self, tasks: Sequence[str]) -> Iterator[Sequence[str]]:
        """Cut *tasks* into the groups that one cell deals with."""
        size = self.config.asking.together
        return (tasks[start : start + size] for start in range(0, len(tasks), size))


def zoo(config: Config) -> Zoo:
    """Describe the models, tasks and adapters of a config."""
    _check_pinned(config)
    if isinstance(config.models, Collected):
        # Reads adapters, and takes time to import: what is made here needs neither.
        from compute.studies.adapter_translation.collected import collected

        return collected(config, config.models)
    tasks = _tasks(config)
    data = {task.name: task_data(task.source, task.name) for task in tasks if task.source}
    if isinstance(config.models, Hub):
        bases = {
            name: language_models.found_language_model(name, _place(where, config.models.revisions))
            for name, where in named(config.models)
        }
        return Zoo(config, tasks, data, bases)
    taught = {name: _taught(config, name, size) for name, size in named(config.models)}
    bases = {name: language_models.language_model(name, cell) for name, cell in taught.items()}
    return Zoo(config, tasks, data, bases, taught)


def _check_pinned(config: Config) -> None:
    """Raise UsageError, for all repositories at once, unless each has its commit: a branch may move."""
    pinned = {part: getattr(getattr(config, part), "revisions", {}) for part in ("models", "tasks")}
    loose = [item.name for item in repositories(config) if item.name not in pinned[item.place[0]]]
    if loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        raise UsageError(
            f"{loose[0]}{more}: no revision is pinned; run `python -m compute lock adapter-translation --profile"
            " PROFILE` while the hub can be reached"
        )


def check(config: Config) -> None:
    """Raise UsageError if a model that is asked, or the examples, cannot be had."""
    if isinstance(config.tasks, MadeTasks):
        for task in {task.domain: task for task in _tasks(config)}.values():
            assert task.source  # as all have that are made
            task.source.load()
    if isinstance(config.models, Hub):
        for _, where in named(config.models):
            _place(where, config.models.revisions).check()
    if isinstance(config.models, Collected):
        from compute.studies.adapter_translation.collected import check_model

        check_model(config.models)


def repositories(config: Config) -> list[Repository]:
    """List what a config needs from the hub: models and data sets."""
    places = (("models", "revisions"), ("tasks", "revisions"))
    models = (
        [where for _, where in named(config.models) if not is_folder(where)] if isinstance(config.models, Hub) else []
    )
    data = catalogue.repositories(config.tasks.names or "all") if isinstance(config.tasks, HubTasks) else ()
    return [
        *(Repository(name, "model", places[0]) for name in models),
        *(Repository(name, "dataset", places[1]) for name in data),
    ]


def named(models: Any) -> tuple[tuple[str, Any], ...]:
    """Give what *models* holds for X and for Y, by name."""
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


def _place(name: str, revisions: Mapping[str, str]) -> Place:
    if is_folder(name):
        return FolderModel(Path(name).expanduser())
    if name not in revisions:
        raise UsageError(f"{name}: no revision is pinned; run `python -m compute lock` while the hub can be reached")
    return HubModel(name, revisions[name])


def _called(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{len(group)} tasks from {group[0]}"
