"""The fingerprint of a cell's code: of its function and of every project definition that it reaches.

Static: modules are read, never imported. Knows definitions and names; what they mean is Python's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path

from compute import plugins
from compute.engine.cell import Cell
from compute.engine.files import Remembered
from compute.engine.keys import Input, hashed
from compute.engine.syntax import EFFECTS, READER, Summary, summarise
from compute.engine.versions import version
from compute.errors import UsageError

Parts = dict[str, str]
"""What a result was made by: "module:definition" → hash, "library" → version."""

Node = tuple[str, str]
"""A definition: its module and its name there."""

_EVERYTHING = {"globals", "eval", "exec"}
"""Who reads one of these may use whatever the module defines."""


def fingerprint(parts: Mapping[str, str]) -> str:
    """Return the hash over `Code.parts`."""
    return hashed(["code", *sorted(map(list, parts.items()))])


class Code:
    """The project's source, as definitions that refer to each other."""

    def __init__(self, remembered: Remembered | None = None) -> None:
        self._remembered = remembered or Remembered()
        self._sources: dict[str, Path | None] = {}
        self._summaries: dict[str, Summary | None] = {}
        self._reached: dict[Node, frozenset[Node]] = {}
        self._known: dict[frozenset[Node | str], tuple[Parts, str]] = {}

    def parts(self, cell: Cell) -> Parts:
        """Return every definition that computing *cell* reaches, with its hash.

        Inputs that are not kept are computed inside the cell, so their code counts too.
        """
        return self._made_by(cell)[0]

    def fingerprint(self, cell: Cell) -> str:
        """Return the hash over `parts`."""
        return self._made_by(cell)[1]

    def _made_by(self, cell: Cell) -> tuple[Parts, str]:
        """Return the parts and their hash; worked out once for all cells that start from the same."""
        for item in cell.inline:
            if self._definition(*_place(item.function.function)) is None:
                raise UsageError(f"cell {item.function.name}: its source cannot be read; define it in a module's file")
        roots = frozenset(_roots(cell))
        libraries = {name for item in cell.inline for name in item.function.libraries}
        start = roots | libraries
        if start not in self._known:
            found = sorted({node for root in roots for node in self.reach(*root)})
            parts = {f"{module}:{name}": self._hash(module, name) for module, name in found}
            parts.update({name: version(name) or "not installed" for name in sorted(libraries)})
            self._known[start] = parts, fingerprint(parts)
        return self._known[start]

    def reach(self, module: str, name: str) -> frozenset[Node]:
        """Return the definitions reached from one, itself included, as (module, name)."""
        start = (module, name)
        if start not in self._reached:
            seen: set[Node] = set()
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
        """Return what *name* is in *module*; a name that is only imported there is its origin."""
        summary = self._summary(module)
        if summary is None:
            return None
        if name in summary["imports"] and name not in summary["definitions"]:
            return {"hash": hashed(["import", *summary["imports"][name]]), "names": [], "imports": {}}
        found: Summary | None = summary["definitions"].get(name)
        return found

    def _references(self, module: str, name: str) -> set[Node]:
        definition = self._definition(module, name)
        assert definition is not None
        found = {(module, EFFECTS)}
        for chain in definition["names"]:
            first, *rest = chain.split(".")
            if first in _EVERYTHING:
                found |= self._everything(module)
            for target in definition["imports"].get(first, ()):
                found |= self._follow(target, rest, frozenset())
            found |= self._members(module, [first, *rest], frozenset()) or set()
        return {(there, known) for there, known in found if there != module or self._defines(module, known)}

    def _defines(self, module: str, name: str) -> bool:
        """Whether *name* is more than an import, whose origin is part of the hash of what uses it."""
        summary = self._summary(module)
        return summary is not None and name in summary["definitions"]

    def _follow(self, target: str, rest: list[str], seen: frozenset[str]) -> set[Node]:
        """Resolve what was imported, and the attributes read from it, to definitions.

        A module that is passed on, or asked for what its source does not show, counts as a whole.
        """
        module, _, member = target.partition(":")
        chain = [member, *rest] if member else rest
        step = ".".join([module, ":", *chain])
        if self._summary(module) is None or step in seen:
            return set()
        found = self._members(module, chain, seen | {step}) if chain else None
        return self._everything(module) if found is None else found

    def _members(self, module: str, chain: list[str], seen: frozenset[str]) -> set[Node] | None:
        """Return the definitions that `module.chain` reads, or None if the module has no such name."""
        summary = self._summary(module)
        if summary is None:
            return None
        first, rest, itself = chain[0], chain[1:], f"{module}:{chain[0]}"
        targets = [target for target in summary["imports"].get(first, ()) if target != itself]
        if targets or first in summary["definitions"]:
            followed = (self._follow(target, rest, seen) for target in targets)
            return {(module, first)}.union(*followed)
        if itself in summary["imports"].get(first, ()) or self._is_submodule(module, first):
            return self._follow(f"{module}.{first}", rest, seen)
        starred = (self._members(star, chain, seen) for star in summary["stars"] if star != module)
        return next((found for found in starred if found is not None), None)

    def _is_submodule(self, module: str, name: str) -> bool:
        path = self._source(module)
        inside = path is not None and (path.name == "__init__.py" or path.is_dir())
        return inside and self._summary(f"{module}.{name}") is not None

    def _everything(self, module: str) -> set[Node]:
        summary = self._summary(module)
        assert summary is not None
        found = {(module, name) for name in summary["definitions"]}
        for target in (target for targets in summary["imports"].values() for target in targets):
            origin, _, member = target.partition(":")
            if self._definition(origin, member):
                found.add((origin, member))
        return found

    def _summary(self, module: str) -> Summary | None:
        if module not in self._summaries:
            path = self._source(module)
            self._summaries[module] = self._read(module, path) if path else None
        return self._summaries[module]

    def _read(self, module: str, path: Path) -> Summary:
        if path.is_dir():
            return {"imports": {}, "stars": [], "definitions": {}}

        def read(path: Path) -> Summary:
            return summarise(path.read_bytes(), module, package=path.name == "__init__.py")

        try:
            return self._remembered.of(path, read, f"{READER}/{module}")
        except SyntaxError as error:
            raise UsageError(f"{path.name}, line {error.lineno}: {error.msg}") from error

    def _source(self, module: str) -> Path | None:
        """Return the file of a project module, its folder if it has none, or None for anything else."""
        if module not in self._sources:
            top, *rest = module.split(".")
            self._sources[module] = _within(self._source(top), rest) if rest else _top(top)
        return self._sources[module]


def _within(start: Path | None, names: list[str]) -> Path | None:
    """Return the file or folder of a module of the package that starts at a file or folder."""
    if start is None or (start.is_file() and start.name != "__init__.py"):
        return None
    stem = (start.parent if start.is_file() else start).joinpath(*names)
    candidates = [stem / "__init__.py", stem.with_suffix(".py")]
    return next((path for path in candidates if path.is_file()), stem if stem.is_dir() else None)


def _top(name: str) -> Path | None:
    """Return the file or folder of a top-level module of the project, or None for anything else."""
    if name in sys.stdlib_module_names:
        return None
    origin, folders = _location(name)
    if origin is None and not folders:
        return None
    path = Path(origin or folders[0])
    installed = {"site-packages", "dist-packages"} & set(path.parts) and name != __name__.partition(".")[0]
    return None if installed or (path.is_file() and path.suffix != ".py") else path


def _location(name: str) -> tuple[str | None, list[str]]:
    """Return the file of a top-level module and the folders of a package, without importing it."""
    if module := sys.modules.get(name):
        return getattr(module, "__file__", None), list(getattr(module, "__path__", ()))
    spec = find_spec(name)
    return (spec.origin, list(spec.submodule_search_locations or ())) if spec else (None, [])


def _roots(cell: Cell) -> Iterator[Node]:
    for item in cell.inline:
        function = item.function
        yield _place(function.function)
        for parameter, package in function.plugins.items():
            for chosen in _chosen(item.arguments[parameter], package):
                yield f"{package}.{chosen}", chosen
        yield from _classes(item.arguments)


def _place(thing: object) -> Node:
    """Return where a function or class is defined, by the name that its module knows."""
    return getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "").partition(".")[0]


def _chosen(value: object, package: str) -> list[str]:
    """Return the plug-ins that an argument names; all of them where another cell will name one."""
    if isinstance(value, Cell):
        return plugins.names(package)
    values = value if isinstance(value, list | tuple) else [value]
    return [item for item in values if isinstance(item, str)]


def _classes(value: object) -> Iterator[Node]:
    """Find the classes of objects among arguments: their methods may be called, and no import shows it."""
    if value is None or isinstance(value, Cell | str | int | float | type):
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _classes(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _classes(item)
    elif is_dataclass(value) or isinstance(value, Input):
        yield _place(type(value))
        for member in fields(value) if is_dataclass(value) else ():
            yield from _classes(getattr(value, member.name))
