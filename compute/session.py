"""One run of the tool over a project folder: studies opened, planned and built. Prints nothing."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compute import study as studies
from compute.checked import Checked
from compute.engine import executors, files, stores
from compute.engine.build import Build, Observer, Results, fresh_results
from compute.engine.cell import Cell, reachable
from compute.engine.code import Code
from compute.engine.history import History
from compute.engine.leases import Leases
from compute.engine.limits import Limits
from compute.engine.plan import Plan, Planner
from compute.errors import UsageError, unknown
from compute.forecast import Forecast
from compute.study import Rows, Study

MARKER = "mkdocs.yml"


def find_root(start: Path) -> Path:
    """Return the project folder: *start* or the nearest above it that holds mkdocs.yml and templates/."""
    for folder in (start, *start.parents):
        if (folder / MARKER).is_file() and (folder / "templates").is_dir():
            return folder
    raise UsageError(f"no project here: neither this folder nor one above it holds {MARKER} and templates/")


@dataclass(frozen=True)
class Opened:
    """A study under one config, with its results as cells."""

    study: Study
    profile: str
    changes: tuple[str, ...]
    config: Any
    results: dict[str, Rows | Cell]

    @cached_property
    def cells(self) -> list[Cell]:
        """Every stored cell that the results need, inputs first."""
        return reachable(list(studies.wanted(self.results)))


@dataclass(frozen=True)
class Settings:
    """How cells are run: no result depends on it, and it enters no key."""

    jobs: int = 1
    """Cells at a time."""
    device: str = "cpu"
    executor: str = "local"
    """See `engine.executors.make`."""
    scheduler: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)
    """How many there are of what cells ask for; one of each that is not named."""


@dataclass
class Session:
    """The project folder, its store, and the studies that were asked for."""

    root: Path
    opened: list[Opened] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the indexes that keep a run without changes fast."""
        index = self.cache / "index"
        self._input_digests = files.remember_in(index / "inputs.json")
        self._sources = files.Remembered(index / "code.json")
        self._stamps = files.Remembered(index / "results.json")
        self._configs = Checked(index / "configs.json")
        self.store = stores.open(stores.setting() or self.cache, self.cache, self._stamps, self.keys)
        self.code = Code(self._sources)

    @property
    def cache(self) -> Path:
        """The folder of the store."""
        return self.root / "cache"

    def open(self, slugs: Sequence[str], profile: str, changes: Sequence[str] = ()) -> None:
        """Load studies under one profile and the same changes of config."""
        for slug in slugs:
            study = studies.load(slug)
            config = self._configs.load(study, profile, changes)
            results = dict(study.results(config))
            self.opened.append(Opened(study, profile, tuple(changes), config, results))

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells of all opened studies by readable name."""
        unique = {cell.key: cell for opened in self.opened for cell in opened.cells}
        return studies.readable_names(list(unique.values()))

    def keys(self) -> set[str]:
        """Return the keys of all opened studies' cells."""
        return {cell.key for opened in self.opened for cell in opened.cells}

    @cached_property
    def names(self) -> dict[str, str]:
        """The readable names of the cells by key."""
        return {cell.key: name for name, cell in self.cells.items()}

    def find(self, pattern: str) -> dict[str, Cell]:
        """Return the cells that *pattern* names: a whole name, a beginning, a glob or a piece of a key."""
        cells = self.cells
        if pattern in cells:
            return {pattern: cells[pattern]}
        found = {
            name: cell
            for name, cell in cells.items()
            if fnmatch.fnmatchcase(name, pattern) or name.startswith(pattern) or _is_key(pattern, cell)
        }
        if not found:
            raise unknown("cell", pattern, cells)
        return found

    def planner(self, forced: Sequence[str] = ()) -> Planner:
        """Return a planner that will run the cells that *forced* names in any case."""
        keys = {cell.key for pattern in forced for cell in self.find(pattern).values()}
        return Planner(self.store, self.code, forced=keys)

    def plan(self, planner: Planner | None = None) -> Plan:
        """Plan all opened studies together."""
        wanted = [cell for opened in self.opened for cell in studies.wanted(opened.results)]
        return (planner or self.planner()).plan(wanted)

    def compute(self, plan: Plan, planner: Planner, observer: Observer, settings: Settings) -> Results:
        """Run what is not fresh, after the inputs were checked."""
        results = self._computed(plan, planner, observer, settings) if plan.to_run else fresh_results(plan, self.store)
        if left := stores.send_left(self.store):
            observer.noticed(left)
        return results

    def _computed(self, plan: Plan, planner: Planner, observer: Observer, settings: Settings) -> Results:
        for opened in self.opened:
            opened.study.check(opened.config)
        leases = Leases(self.store.root, say=observer.noticed)
        self.store.sweep()
        leases.sweep()
        self._sources.save()  # workers read there what they would have to read off the source
        here = not settings.scheduler
        build = Build(
            plan,
            planner,
            executors.make(settings.executor, min(settings.jobs, len(plan.to_run)), settings.scheduler),
            observer,
            history=self.history,
            limits=Limits(self.history, settings.resources) if here else None,
            environment={"RECOUNT_DEVICE": settings.device, **stores.environment()},
            leases=leases,
        )
        results = build.run()
        for stamp in results.records.stamps.values():
            self.store.stamp(stamp.key, stamp.trace)  # remembered now, so that the next plan reads no record
        return results

    @cached_property
    def history(self) -> History:
        """What cells took in earlier builds, as it is when first asked for."""
        return History(self.store)

    def forecast(self, plan: Plan, jobs: int) -> Forecast:
        """Return what is known of the time that a plan will take."""
        return Forecast([step.cell for step in plan.to_run], self.history.seconds, width=jobs)

    def write_pages(self, results: Results) -> int:
        """Write the pages whose inputs changed; return how many files were written."""
        from compute.report import site

        return site.write(self.root, self.cache, self.code, self.store, self.opened, results)

    def save(self) -> None:
        """Keep what was worked out for unchanged files."""
        self._input_digests.save()
        self._sources.save()
        self._stamps.save()
        self._configs.save()


def _is_key(pattern: str, cell: Cell) -> bool:
    return len(pattern) >= 6 and cell.key.startswith(pattern)
