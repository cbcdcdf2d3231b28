"""The pages of the patchy study, in a folder of their own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import patchy_study
from engine_observer import Silent
from patchy_study import score

from compute.engine.build import Build, Results, fresh_results
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.executors import Serial
from compute.engine.plan import Planner
from compute.engine.record import Record, Trace
from compute.engine.store import Store
from compute.report import pages
from compute.session import Opened
from compute.study import wanted

REPOSITORY = Path(__file__).parents[2]
FOLDER = "docs/studies/patchy-study"
OLD = {"accuracy": 0.91, "low": 0.9, "high": 0.92}


@dataclass
class Site:
    """The patchy study's pages in a folder of their own."""

    root: Path
    opened: Opened = field(init=False)

    def __post_init__(self) -> None:
        if not (self.root / "templates").exists():
            (self.root / "templates").symlink_to(REPOSITORY / "templates")
        self.store, self.code = Store(self.root / "cache"), Code()
        self.planner = Planner(self.store, self.code)
        config = patchy_study.Config()
        changes = ("locales=sq-AL,sw-KE",)
        self.opened = Opened(patchy_study.study, "mini", changes, config, dict(patchy_study.results(config)))

    def build(self, *cells: Cell) -> Results:
        """Compute some cells; the rest of the study is left as it is."""
        plan = self.planner.plan(cells)
        return Build(plan, self.planner, Serial(), Silent()).run()

    def once(self, cell: Cell, value: Any, when: str) -> Record:
        """Keep a result that other code gave for the same call, some time ago."""
        here = self.build(score("de-DE")).records[score("de-DE").key]
        trace = Trace({**self.code.parts(cell), "elsewhere:helper": "12"}, {})
        record = replace(here, key=cell.key, name=cell.name, trace=trace, when=when)
        return self.store.commit(record, value)

    def write(self, results: Results | None = None) -> str:
        """Write the pages, without computing if no results are given, and return the report."""
        whole = results or fresh_results(self.planner.plan(wanted(self.opened.results)), self.store)
        pages.write_study(self.root, self.store, self.code, self.opened, whole, {})
        return self.read("index.md")

    def read(self, name: str) -> str:
        return (self.root / FOLDER / name).read_text(encoding="utf-8")
