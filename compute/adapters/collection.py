"""A collection of adapters made elsewhere: tasks with adapters on model X and on model Y, and what was measured.

It knows the layout of the folder and checks all of it. It translates nothing and asks no model.

    collection.yaml              the tasks, by name: domain, role, and optionally metric and data; the base models x, y
    adapters/{x,y}/TASK/         PEFT folders
    results/SYSTEM/TASK.json     who answered what right: SYSTEM is base, oracle, METHOD-SPACE or METHOD-SPACE-others
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from compute import plugins, yaml_file
from compute.adapters import peft_folder
from compute.adapters.method import PACKAGE
from compute.adapters.places import REPOSITORY, FolderAdapter
from compute.adapters.problem import Space
from compute.adapters.recorded import BESIDE, OTHERS, Recorded
from compute.errors import UsageError, short, unknown
from compute.evaluation.tasks.examples_file import ExamplesFile
from compute.evaluation.tasks.task import Metric, Role
from compute.models.places import FolderModel, HubModel

Model = Literal["x", "y"]

FILE = "collection.yaml"
LEAST_ANCHORS = 3
"""With two anchors all that a translation can say is which of them is nearer."""

KEYS = ("x", "y", "tasks")
TASK_KEYS = ("domain", "role", "metric", "data")


@dataclass(frozen=True)
class Entry:
    """A task of a collection. `problem` is why its adapters cannot be used, "" if they can."""

    name: str
    domain: str
    role: Role
    x: FolderAdapter
    y: FolderAdapter | None
    """The task's own adapter on Y: every anchor has one, of the other tasks those whose ceiling is known."""
    metric: Metric = "none"
    data: ExamplesFile | None = None
    problem: str = ""


@dataclass(frozen=True)
class Collection:
    """A collection that was found whole: tasks in the file's order, and who was measured on which."""

    folder: Path
    tasks: tuple[Entry, ...]
    x: FolderModel | HubModel | None = None
    y: FolderModel | HubModel | None = None
    results: Mapping[str, Mapping[str, Recorded]] = field(default_factory=dict)
    """By system and task."""

    @property
    def usable(self) -> tuple[Entry, ...]:
        """The tasks whose adapters can be used."""
        return tuple(task for task in self.tasks if not task.problem)

    @property
    def anchors(self) -> tuple[Entry, ...]:
        """The usable tasks that translate others."""
        return tuple(task for task in self.usable if task.role == "anchor")

    @property
    def held_out(self) -> tuple[Entry, ...]:
        """The usable tasks that are translated."""
        return tuple(task for task in self.usable if task.role == "held-out")

    @property
    def unusable(self) -> dict[str, str]:
        """Why each of the other tasks cannot be used."""
        return {task.name: task.problem for task in self.tasks if task.problem}

    def __getitem__(self, name: str) -> Entry:
        for task in self.tasks:
            if task.name == name:
                return task
        raise unknown("task of the collection", name, [task.name for task in self.tasks])


def opened(folder: Path, audit: Callable[[Path], str] = peft_folder.audit) -> Collection:
    """Read a collection and check all that it holds.

    *audit* says why the adapter in a folder cannot be translated, "" if it can; one that remembers spares reading all
    of them each time.

    Raises UsageError, naming file and field, where anything in it is damaged or missing, or its parts do not fit
    together. An adapter that cannot be translated only makes its task unusable, with the reason, as long as three
    anchors remain.
    """
    path = folder / FILE
    if not path.is_file():
        raise UsageError(f"no collection in {folder}: expected {FILE} there; docs/guide/adapters.md shows one")
    said = _mapping(path, "the file", yaml_file.read(path), KEYS)
    tasks = tuple(_entries(folder, path, said.get("tasks"), audit))
    found = Collection(
        folder, tasks, _base(path, "x", said.get("x")), _base(path, "y", said.get("y")), _results(folder, tasks)
    )
    _check_anchors(path, found)
    return found


def _entries(folder: Path, path: Path, said: object, audit: Callable[[Path], str]) -> Iterator[Entry]:
    if not isinstance(said, dict) or not said:
        raise UsageError(f"{path}: tasks must map names to domain and role, not {short(said)}")
    for name, fields in said.items():
        _check_name(path, name)
        entry = _entry(folder, path, name, _mapping(path, f"task {name}", fields, TASK_KEYS))
        yield replace(entry, problem=audit(entry.x.path) or (audit(entry.y.path) if entry.y else ""))


def _entry(folder: Path, path: Path, name: str, said: Mapping[str, Any]) -> Entry:
    domain, metric = said.get("domain"), said.get("metric", "none")
    role: Any = said.get("role")
    if not isinstance(domain, str) or not domain:
        raise UsageError(f"{path}: task {name} must name its domain, as math, found {short(domain)}")
    if role not in get_args(Role):
        raise UsageError(f"{path}: task {name} must have the role anchor or held-out, found {short(role)}")
    if metric not in get_args(Metric):
        raise unknown(f"metric of task {name} in {path}", f"{short(metric)}", get_args(Metric))
    x, y = (_adapter(folder, model, name) for model in get_args(Model))
    if x is None:
        raise UsageError(f"{path}: task {name} has no adapter on model X: put it into adapters/x/{name}")
    if y is None and role == "anchor":
        raise UsageError(
            f"{path}: anchor {name} has no adapter on model Y: put it into adapters/y/{name}, or make it held-out"
        )
    data = _data(folder, path, name, metric, said.get("data"))
    return Entry(name, domain, role, x, y, metric, data)


def _adapter(folder: Path, model: Model, task: str) -> FolderAdapter | None:
    """Find a task's folder; what lies there without being one is no adapter, and says so when it is audited."""
    path = folder / "adapters" / model / task
    return FolderAdapter(path) if path.is_dir() else None


def _data(folder: Path, path: Path, task: str, metric: Metric, said: object) -> ExamplesFile | None:
    if said is None:
        return None
    if not isinstance(said, str) or not _is_inside(said):
        raise UsageError(f"{path}: data of task {task} must be a file below the collection, not {short(said)}")
    if metric == "none":
        raise UsageError(f"{path}: task {task} has data and no metric: name one of {', '.join(get_args(Metric)[:-1])}")
    found = ExamplesFile(folder / said, metric)
    found.load()
    return found


def _base(path: Path, key: Model, said: object) -> FolderModel | HubModel | None:
    """Find a base model: a folder, from the collection on, or a commit of the hub."""
    if said is None:
        return None
    if not isinstance(said, str):
        raise UsageError(f"{path}: {key} must be a folder or org/name@commit, not {short(said)}")
    folder = path.parent / said
    if "\0" not in said and folder.is_dir():
        place = FolderModel(folder)
        place.check()
        return place
    repo, _, revision = said.partition("@")
    if not REPOSITORY.fullmatch(repo) or not revision or "/" in revision:
        raise UsageError(
            f"{path}: {key} is {short(said)}, neither a folder, from the collection on, nor org/name@commit"
        )
    return HubModel(repo, revision)


def _results(folder: Path, tasks: tuple[Entry, ...]) -> dict[str, dict[str, Recorded]]:
    """Find what was recorded, and check that all systems answered the same examples of a task."""
    names = {task.name for task in tasks}
    found: dict[str, dict[str, Recorded]] = {}
    for system in _listed(folder / "results"):
        _check_system(system)
        found[system.name] = {_task_of(file, names): Recorded(file) for file in _listed(system)}
    for task in tasks:
        _check_same_examples(task, [each[task.name] for each in found.values() if task.name in each])
    return found


def _listed(folder: Path) -> list[Path]:
    """List what lies in a folder; nothing where there is none."""
    if not folder.exists() and not folder.is_symlink():
        return []
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror}): expected a folder") from error


def _check_system(path: Path) -> None:
    """Refuse a folder of results whose name is no system."""
    if not path.is_dir():
        raise UsageError(f"{path} is no folder: results lie in results/SYSTEM/TASK.json")
    if path.name in BESIDE:
        return
    method, dash, space = path.name.removesuffix(f"-{OTHERS}").rpartition("-")
    if not dash or space not in get_args(Space):
        expected = " or ".join(f"METHOD-{space}" for space in get_args(Space))
        raise UsageError(
            f"{path}: unknown system {path.name!r}: expected {', '.join(BESIDE)}, {expected}, with or without -{OTHERS}"
        )
    try:
        plugins.check(PACKAGE, method)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _task_of(file: Path, names: set[str]) -> str:
    if file.suffix != ".json":
        raise UsageError(f"{file} is no result: results lie in results/SYSTEM/TASK.json")
    if file.stem not in names:
        raise UsageError(f"{file}: {unknown('task of the collection', file.stem, names)}")
    return file.stem


def _check_same_examples(task: Entry, recorded: list[Recorded]) -> None:
    """Refuse results of one task that are not about the same examples: they are compared one by one."""
    told = [(one.path, one.load()) for one in recorded]
    counts = [(path, found["n"]) for path, found in told]
    lists = [(path, found["ids"]) for path, found in told if found["ids"]]
    if task.data and recorded:
        asked = [example.id for example in task.data.load().evaluation]
        counts, lists = [(task.data.path, len(asked)), *counts], [(task.data.path, asked), *lists]
    for path, n in counts[1:]:
        if n != counts[0][1]:
            raise UsageError(
                f"{path} tells of {n} examples and {counts[0][0]} of {counts[0][1]}: ask all systems the same"
            )
    for path, ids in lists[1:]:
        if ids != lists[0][1]:
            raise UsageError(f"{path} and {lists[0][0]} list other ids: ask all systems the same, in one order")


def _check_anchors(path: Path, found: Collection) -> None:
    if len(found.anchors) >= LEAST_ANCHORS:
        return
    why = "".join(f"; {name} cannot be used: {problem}" for name, problem in found.unusable.items())
    raise UsageError(f"{path}: {len(found.anchors)} usable anchors, and at least {LEAST_ANCHORS} are needed{why}")


def _check_name(path: Path, name: object) -> None:
    """Refuse what cannot be the name of a folder, or leads out of it."""
    wrong = not isinstance(name, str) or not name or name[0] in ". " or len(name) > 100
    if wrong or any(letter in "/\\\0" or not letter.isprintable() for letter in str(name)):
        raise UsageError(f"{path}: {short(name)} cannot be a task's name: it is the name of a folder, as gsm8k")


def _is_inside(name: str) -> bool:
    return bool(name) and "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts


def _mapping(path: Path, what: str, said: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise UsageError(f"{path}: {what} must be a mapping with the keys {', '.join(keys)}, not {short(said)}")
    for key in said:
        if key not in keys:
            raise UsageError(f"{path}: {unknown(f'key of {what}', key, keys)}")
    return said
