"""The fingerprint of a cell's code: of its function and of every project definition that it reaches.

Static: modules are read, never imported. What cannot be followed counts as a whole, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import CellType

from compute.engine.cell import Cell, cells_in
from compute.engine.files import Remembered
from compute.engine.keys import hashed
from compute.engine.syntax.bindings import EFFECTS
from compute.engine.syntax.lookups import ANY
from compute.engine.syntax.modules import Modules
from compute.engine.syntax.reach import Node, Reach
from compute.engine.versions import version
from compute.errors import UsageError

Parts = dict[str, str]
"""What a result was made by: "module:definition" → hash, "library" → version."""


def fingerprint(parts: Mapping[str, str]) -> str:
    """Return the hash over `Code.parts`."""
    return hashed(["code", *sorted(map(list, parts.items()))])


@dataclass(frozen=True)
class _Start:
    """What a cell's code is found from: many cells share it."""

    roots: frozenset[Node]
    libraries: frozenset[str]
    packages: frozenset[str]
    """Of plug-ins that arguments name, and which therefore are among the roots."""


class Code:
    """The project's source, as definitions that refer to each other."""

    def __init__(self, remembered: Remembered | None = None, *, outside: tuple[str, ...] = ()) -> None:
        """Take where summaries are remembered, and the packages ("a.b.") that do not count as the project's."""
        self.modules = Modules(remembered, outside)
        self._reach = Reach(self.modules)
        self._starts: dict[str, _Start] = {}
        self._known: dict[_Start, tuple[Parts, str, frozenset[str]]] = {}

    def parts(self, cell: Cell) -> Parts:
        """Return every definition that computing *cell* reaches, with its hash.

        Inputs that are not kept are computed inside the cell, so their code counts too.
        """
        return self.made_by(cell)[0]

    def fingerprint(self, cell: Cell) -> str:
        """Return the hash over `parts`."""
        return self.made_by(cell)[1]

    def widened(self, cell: Cell) -> list[str]:
        """Say in lines where more counts than *cell* may use, for what it uses is only known when it runs."""
        lines = {
            f"{item.function.name}: another cell says which {name}, so all plug-ins of {package} count"
            for item in cell.inline
            for name, package in item.function.plugins.items()
            if any(cells_in(item.arguments[name]))
        }
        return sorted(lines | self.made_by(cell)[2])

    def text(self, part: str) -> tuple[str, str]:
        """Return the hash and the normalised source of a part, as it is now; empty strings if there is none."""
        module, _, name = part.partition(":")
        return self.modules.texts(module).get(name, ("", ""))

    def reach(self, module: str, name: str) -> frozenset[Node]:
        """Return the definitions reached from one, itself included, as (module, name)."""
        return self._reach.of((module, name))

    def made_by(self, cell: Cell) -> tuple[Parts, str, frozenset[str]]:
        """Return the parts, their hash, and what was widened; worked out once for all of one start."""
        start = self._starts.get(cell.key)
        if start is None:
            start = self._starts[cell.key] = self._start(cell)
        if start not in self._known:
            found, said = self._found(start)
            parts = {f"{module}:{name}": made for module, name in sorted(found) if (made := self._hash((module, name)))}
            parts.update({name: version(name) or "not installed" for name in sorted(start.libraries)})
            self._known[start] = parts, fingerprint(parts), frozenset(said)
        return self._known[start]

    def _start(self, cell: Cell) -> _Start:
        for item in cell.inline:
            if self._reach.definition(_place(item.function.function)) is None:
                raise UsageError(f"cell {item.function.name}: its source cannot be read; define it in a module's file")
        functions = [item.function for item in cell.inline]
        libraries = frozenset(name for function in functions for name in function.libraries)
        packages = frozenset(package for function in functions for package in function.plugins.values())
        return _Start(frozenset(self._roots(cell)), libraries, packages)

    def _roots(self, cell: Cell) -> Iterator[Node]:
        for item in cell.inline:
            function = item.function
            yield from map(_place, _functions(function.function))
            for parameter, package in function.plugins.items():
                for chosen in self._chosen(item.arguments[parameter], package):
                    yield f"{package}.{chosen}", chosen
            yield from _classes(item.arguments)

    def _chosen(self, value: object, package: str) -> list[str]:
        """Return the plug-ins that an argument names; all of them where another cell will name one."""
        if isinstance(value, str):
            return [value]
        return self.modules.plugins(package) if any(cells_in(value)) else list(_strings(value))

    def _found(self, start: _Start) -> tuple[set[Node], set[str]]:
        """Return the definitions reached, and lines that say which of them only count for want of knowledge."""
        found: set[Node] = set()
        said: set[str] = set()
        stack = list(start.roots)
        while stack:
            root = stack.pop()
            if self._reach.definition(root) is None and (whole := self._reach.whole(root[0])):
                said.add(f"{':'.join(root)} is not among what its source defines: the whole module {root[0]} counts")
                stack.extend(whole - found)
            for node in self._reach.of(root) - found:
                found.add(node)
                place = ":".join(node)
                said.update(f"{place} {line}" for line in self._reach.widened.get(node, ()))
                for pattern in sorted({*self._reach.loads.get(node, ())} - start.packages):
                    said.add(f"{place} {_undeclared(pattern)}")
                    stack.extend(self._plugins(pattern, node[0]))
            if not stack:
                stack.extend(self._registered(found))
        return found, said

    def _registered(self, found: set[Node]) -> list[Node]:
        """Return what the modules that are run hand to something among *found*, and which is not yet there."""
        given = [item for node in found if node[1] == EFFECTS for item in self._reach.registered(node).items()]
        return [node for node, holders in given if node not in found and not holders.isdisjoint(found)]

    def _plugins(self, pattern: str, module: str) -> set[Node]:
        if pattern.endswith(ANY):
            return self._reach.matching(pattern, module)
        return {(f"{pattern}.{name}", name) for name in self.modules.plugins(pattern)}

    def _hash(self, node: Node) -> str:
        definition = self._reach.definition(node)
        return str(definition["hash"]) if definition else ""


def _undeclared(pattern: str) -> str:
    if pattern == ANY:
        return "loads plug-ins of a package that is worked out: every module of the project counts"
    if pattern.endswith(ANY):
        return f"loads plug-ins of a package whose name begins with {pattern[:-1]}: every such module counts"
    return f"loads plug-ins of {pattern}, which no parameter of the cell is declared to name: all of them count"


def _place(thing: object) -> Node:
    """Return where a function or class is defined, by the name that its module knows."""
    return getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "").partition(".")[0]


def _functions(function: object) -> Iterator[object]:
    """Find a function and those that it wraps: a decorator below @cell may not have passed the name on."""
    seen: set[int] = set()
    stack = [function]
    while stack:
        found = stack.pop()
        if id(found) not in seen and hasattr(found, "__qualname__"):
            seen.add(id(found))
            yield found
            held = map(_held, getattr(found, "__closure__", None) or ())
            stack.extend([*held, getattr(found, "__wrapped__", None)])


def _held(variable: CellType) -> object:
    """Return what a variable of a function around stands for; None if it has no value yet."""
    try:
        return variable.cell_contents
    except ValueError:
        return None


_PLAIN = frozenset({type(None), bool, int, float, str, Cell})
_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})


def _strings(value: object) -> Iterator[str]:
    """Find the strings in a value, wherever in it they stand: a mapping may name plug-ins by its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _strings([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _strings(item)
    elif is_dataclass(value):
        for member in fields(value):
            yield from _strings(getattr(value, member.name))


def _classes(value: object) -> Iterator[Node]:
    """Find the classes of objects among arguments: their methods may be called, and no import shows it."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind not in _CONTAINERS:
        yield _place(kind)
    if isinstance(value, (dict, Mapping)):  # the first is the fast one
        for item in value.values():
            yield from _classes(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _classes(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for member in fields(value):
            yield from _classes(getattr(value, member.name))
