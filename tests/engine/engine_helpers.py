"""Builds that keep a diary, and packages that are written, imported and edited."""

from __future__ import annotations

import importlib
import itertools
import os
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from compute.engine.build import Build, Results
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.executors import Executor, Serial
from compute.engine.plan import Planner
from compute.engine.record import Record
from compute.engine.store import Failure, Store


@dataclass
class Diary:
    """What a build said while it ran, as lists of names."""

    started_: list[str] = field(default_factory=list)
    finished_: list[str] = field(default_factory=list)
    reused_: list[str] = field(default_factory=list)
    failed_: list[str] = field(default_factory=list)
    blocked_: list[tuple[str, str]] = field(default_factory=list)
    elsewhere_: list[str] = field(default_factory=list)
    noticed_: list[str] = field(default_factory=list)

    def started(self, cell: Cell) -> None:
        self.started_.append(cell.name)

    def finished(self, cell: Cell, record: Record) -> None:
        self.finished_.append(cell.name)

    def reused(self, cell: Cell, record: Record) -> None:
        self.reused_.append(cell.name)

    def failed(self, cell: Cell, failure: Failure) -> None:
        self.failed_.append(cell.name)

    def blocked(self, cell: Cell, by: Cell) -> None:
        self.blocked_.append((cell.name, by.name))

    def elsewhere(self, cell: Cell) -> None:
        self.elsewhere_.append(cell.name)

    def noticed(self, text: str) -> None:
        self.noticed_.append(text)


@dataclass
class Builder:
    """Plans and builds as the command line does, with fresh eyes for the code each time."""

    store: Store
    diary: Diary = field(default_factory=Diary)

    def __call__(self, *wanted: Cell, forced: tuple[Cell, ...] = (), executor: Executor | None = None) -> Results:
        self.diary = Diary()
        planner = Planner(self.store, Code(), forced={cell.key for cell in forced})
        return Build(planner.plan(wanted), planner, executor or Serial(), self.diary).run()

    def value(self, cell: Cell) -> Any:
        return self.store.load(self(cell).records[cell.key])


_numbers = itertools.count()


@dataclass
class Package:
    """A package of its own name on the path; PACKAGE in a source stands for that name."""

    folder: Path
    name: str = field(default_factory=lambda: f"project_{next(_numbers)}")

    def path(self, module: str) -> Path:
        return self.folder / self.name / f"{module.replace('.', '/')}.py"

    def write(self, module: str, source: str) -> None:
        path = self.path(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source).replace("PACKAGE", self.name), encoding="utf-8")

    def edit(self, module: str, old: str, new: str) -> None:
        source = self.path(module).read_text(encoding="utf-8")
        old, new = (text.replace("PACKAGE", self.name) for text in (old, new))
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module}"
        self.write(module, source.replace(old, new))

    def load(self, module: str = "cells") -> ModuleType:
        importlib.invalidate_caches()
        return importlib.import_module(f"{self.name}.{module}")

    def age(self) -> None:
        """Let all files look as if they were written a while ago."""
        for path in self.folder.rglob("*.py"):
            os.utime(path, (time.time() - 60, time.time() - 60))
