"""The fingerprint of a cell's code: of its function and of every project definition that it reaches.

Static: modules are read, never imported. Knows definitions and names; what they mean is Python's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from compute.engine.cell import Cell
from compute.engine.files import Remembered
from compute.engine.keys import hashed
from compute.engine.syntax import Summary, summarise

Parts = dict[str, str]
"""What a result was made by: "module:definition" → hash, "library" → version."""


class Code:
    """The project's source, as definitions that refer to each other."""

    def __init__(self, remembered: Remembered | None = None) -> None:
        self._remembered = remembered or Remembered()
        self._summaries: dict[str, Summary | None] = {}
        self._reached: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._parts: dict[frozenset[tuple[str, str]], Parts] = {}

    def parts(self, cell: Cell) -> Parts:
        """Return every definition that computing *cell* reaches, with its hash.

        Inputs that are not kept are computed inside the cell, so their code counts too.
        """
        found: set[tuple[str, str]] = set()
        for root in _roots(cell):
            found |= self.reach(*root)
        libraries = {name: version(name) for item in _inline(cell) for name in item.function.libraries}
        chosen = frozenset(found)
        if chosen not in self._parts:
            self._parts[chosen] = {f"{m}:{n}": self._hash(m, n) for m, n in sorted(chosen)}
        return {**self._parts[chosen], **libraries}

    def fingerprint(self, cell: Cell) -> str:
        """Return the hash over `parts`."""
        return hashed(["code", *sorted(map(list, self.parts(cell).items()))])

    def reach(self, module: str, name: str) -> frozenset[tuple[str, str]]:
        """Return the definitions reached from one, itself included, as (module, name)."""
        start = (module, name)
        if start not in self._reached:
            seen: set[tuple[str, str]] = set()
            stack = [start]
            while stack:
                here = stack.pop()
                if here not in seen and self._definition(*here) is not None:
                    seen.add(here)
                    stack.extend(self._references(*here))
            self._reached[start] = frozenset(seen)
        return self._reached[start]

    def _hash(self, module: str, name: str) -> str:
        definition = self._definition(module, name)
        return str(definition["hash"]) if definition else ""

    def _definition(self, module: str, name: str) -> Summary | None:
        summary = self._summary(module)
        return summary["definitions"].get(name) if summary else None

    def _references(self, module: str, name: str) -> Iterator[tuple[str, str]]:
        definition = self._definition(module, name)
        summary = self._summary(module)
        assert definition is not None and summary is not None
        imports = {**summary["imports"], **definition["imports"]}
        for chain in definition["names"]:
            first, *rest = chain.split(".")
            if first in imports:
                yield from self._follow(imports[first], rest)
            elif first in summary["definitions"]:
                yield module, first

    def _follow(self, target: str, rest: list[str]) -> Iterator[tuple[str, str]]:
        """Resolve an imported name and the attributes read from it to definitions."""
        module, _, member = target.partition(":")
        chain = [member, *rest] if member else rest
        while chain and self._summary(f"{module}.{chain[0]}") is not None:
            module, chain = f"{module}.{chain[0]}", chain[1:]
        summary = self._summary(module)
        if summary is None:
            return
        if not chain:  # the module itself is passed on: whatever it defines may be used
            yield from ((module, name) for name in summary["definitions"])
        elif chain[0] in summary["definitions"]:
            yield module, chain[0]
        elif chain[0] in summary["imports"]:
            yield from self._follow(summary["imports"][chain[0]], chain[1:])

    def _summary(self, module: str) -> Summary | None:
        if module not in self._summaries:
            path = _source(module)
            self._summaries[module] = self._read(module, path) if path else None
        return self._summaries[module]

    def _read(self, module: str, path: Path) -> Summary:
        known = self._remembered.get(path)
        if not isinstance(known, dict):
            known = summarise(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py")
            self._remembered.put(path, known)
        return known


@cache
def _top(name: str) -> Path | None:
    """Return the file of a top-level package or module of the project, or None for anything else."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return None
    path = Path(file)
    foreign = "site-packages" in path.parts or path.is_relative_to(sys.base_prefix)
    return path if name == __name__.partition(".")[0] or not foreign else None


def _source(module: str) -> Path | None:
    """Return the file of a project module, or None for anything else."""
    top, *rest = module.split(".")
    start = _top(top)
    if start is None or (rest and start.name != "__init__.py"):
        return None
    stem = start.parent.joinpath(*rest) if rest else start.with_suffix("")
    candidates = [start] if not rest else [stem.with_suffix(".py"), stem / "__init__.py"]
    return next((path for path in candidates if path.is_file()), None)


def _inline(cell: Cell) -> Iterator[Cell]:
    """Walk the cell and the inputs computed inside it."""
    yield cell
    for item in cell.inputs:
        if not item.function.store:
            yield from _inline(item)


def _roots(cell: Cell) -> Iterator[tuple[str, str]]:
    for item in _inline(cell):
        function = item.function
        yield function.function.__module__, function.name
        for parameter, package in function.plugins.items():
            chosen = str(item.arguments[parameter])
            yield f"{package}.{chosen}", chosen
        yield from _classes(item.arguments)


def _classes(value: object) -> Iterator[tuple[str, str]]:
    """Find the dataclasses among arguments: their methods may be called, and no import shows it."""
    if isinstance(value, Cell):
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _classes(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _classes(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__module__, type(value).__name__
        for member in fields(value):
            yield from _classes(getattr(value, member.name))
