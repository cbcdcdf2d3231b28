"""Which definitions a definition reaches, through imports, attributes, and what importing a module does."""

from __future__ import annotations

from collections.abc import Iterable

from compute.engine.syntax.bindings import EFFECTS
from compute.engine.syntax.lookups import ANY, DERIVED, IMPORTERS, PLUGIN
from compute.engine.syntax.modules import Modules
from compute.engine.syntax.summary import Summary, import_hash

Node = tuple[str, str]
"""A definition: its module and its name there."""

LOADER: Node = (PLUGIN.rpartition(".")[0], PLUGIN.rpartition(".")[2])
_DECORATOR: Node = ("compute.engine.cell", "cell")
"""What makes a function a cell: how it does so changes no result, so no fingerprint has it."""

_SPACE = {"globals", "eval", "exec"}
"""Who reads one of these may use whatever the module defines."""

_OUTSIDE = {*IMPORTERS, *(f"builtins.{name}" for name in _SPACE)}


class Reach:
    """The references between definitions, each worked out once."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._reached: dict[Node, frozenset[Node]] = {}
        self._referred: dict[Node, set[Node]] = {}
        self._wholes: dict[str, set[Node]] = {}
        self._registered: dict[Node, dict[Node, frozenset[Node]]] = {}
        self._done: dict[str, set[Node]] = {}
        self.widened: dict[Node, set[str]] = {}
        """What is said of each definition that uses more than its source shows."""
        self.loads: dict[Node, list[str]] = {}
        """The packages, as patterns, whose plug-ins a definition loads by name."""

    def definition(self, node: Node) -> Summary | None:
        """Return what a name is in a module; one that is only imported there stands for its origin."""
        module, name = node
        summary = self._modules.summary(module)
        if summary is None:
            return None
        if name in summary["imports"] and name not in summary["definitions"]:
            return {"hash": import_hash(summary["imports"][name]), "names": [], "imports": {}}
        found: Summary | None = summary["definitions"].get(name)
        return found

    def of(self, start: Node) -> frozenset[Node]:
        """Return the definitions reached from one, itself included."""
        if start not in self._reached:
            seen: set[Node] = set()
            stack = [start]
            while stack:
                here = stack.pop()
                if here not in seen and self.definition(here) is not None:
                    seen.add(here)
                    stack.extend(self._references(here) - seen)
            self._reached[start] = frozenset(seen)
        return self._reached[start]

    def matching(self, pattern: str, module: str) -> set[Node]:
        """Return all that a module imported by name may be, as *module* does it; see `lookups` for patterns."""
        top = module.partition(".")[0]
        if pattern == ANY:
            return self._union([top, *self._modules.below(f"{top}.")])
        return self._union(self._modules.below(pattern[:-1]) if pattern.endswith(ANY) else [pattern])

    def _union(self, modules: Iterable[str]) -> set[Node]:
        return {node for module in modules for node in self.whole(module)}

    def whole(self, module: str) -> set[Node]:
        """Return everything that a module defines or imports, and what importing it does."""
        if module not in self._wholes:
            summary = self._modules.summary(module)
            found = self._wholes[module] = set()  # also the answer for modules that import each other
            if summary is not None:
                found |= self._effects(module) | {(module, name) for name in summary["definitions"]}
                targets = [target for targets in summary["imports"].values() for target in targets]
                for target in (*targets, *summary["stars"]):
                    found |= self._follow(target, [], frozenset(), set())
                found.discard(_DECORATOR)
        return self._wholes[module]

    def _effects(self, imported: str) -> set[Node]:
        """Return what is done by importing a module, in it and in those that run with it."""
        if imported not in self._done:
            found = {(module, EFFECTS) for module in self._modules.run_by(imported)}
            self._done[imported] = {node for node in found if self.definition(node) is not None}
        return self._done[imported]

    def _references(self, node: Node) -> set[Node]:
        if node not in self._referred:
            self._referred[node] = self._find(node)
        return self._referred[node]

    def _find(self, node: Node) -> set[Node]:
        """Return what a definition refers to; note what of it is more than its source shows."""
        module, definition = node[0], self.definition(node)
        assert definition is not None
        said = self.widened.setdefault(node, set())
        found = self._effects(module).union(*map(self._effects, definition.get("runs", ())))
        for chain in definition["names"]:
            found |= self._read(node, definition, chain.split("."), said)
        if node != LOADER and DERIVED in definition.get("calls", {}):
            said.add(f"asks a class for those derived from it: every module of {module.partition('.')[0]} counts")
            found |= self.matching(ANY, module)
        return {(there, known) for there, known in found if there != module or self._defines(module, known)}

    def _read(self, node: Node, definition: Summary, chain: list[str], said: set[str]) -> set[Node]:
        """Return what one name that a definition reads may be."""
        (module, _), name = node, ".".join(chain)
        found: set[Node] = set()
        for target in definition["imports"].get(chain[0], ()):
            found |= self._follow(target, chain[1:], frozenset(), said)
        own = self._members(module, chain, frozenset(), said)
        found |= own or set()
        if chain[0] in _SPACE or found & {("", f"builtins.{each}") for each in _SPACE}:
            said.add(f"uses {name}: the whole module {module} counts")
            found |= self.whole(module)
        if own is None and chain[0] in definition.get("unknown", ()) and not self._has_foreign_stars(module):
            said.add(f"reads {chain[0]}, which no source gives a value: the whole module {module} counts")
            found |= self.whole(module)
        if node != LOADER:
            found |= self._imported_by_name(node, definition, name, found, said)
        return {each for each in found if each[0]}

    def _imported_by_name(
        self, node: Node, definition: Summary, name: str, found: set[Node], said: set[str]
    ) -> set[Node]:
        """Return what the calls of an importing function may import; leave plug-ins for the cell to say."""
        foreign = any(not module for module, each in found if each in IMPORTERS)
        patterns = definition.get("calls", {}).get(name, [ANY] if foreign else [])
        if LOADER in found:
            self.loads.setdefault(node, []).extend(patterns or [ANY])
            return set()
        module = node[0]
        for pattern in patterns:
            said.add(_by_name(pattern, module))
        return {each for pattern in patterns for each in self.matching(pattern, module)}

    def registered(self, node: Node) -> dict[Node, frozenset[Node]]:
        """Return what importing a module hands to others, and the definitions through which those may find it.

        A decorator may keep what it decorates, a class what is derived from it: who reaches anything that these
        reach may come upon it.
        """
        if node not in self._registered:
            module, found = node[0], {}
            for name, (givers, bases) in (self.definition(node) or {}).get("registered", {}).items():
                holders = {holder for giver in givers for holder in self._definitions(module, giver)}
                if self._hears(module, bases):
                    holders |= {holder for base in bases for holder in self._definitions(module, base)}
                if holders:
                    found[module, name] = frozenset[Node]().union(*map(self.of, holders))
            self._registered[node] = found
        return self._registered[node]

    def _hears(self, module: str, names: Iterable[str], seen: frozenset[Node] = frozenset()) -> bool:
        """Whether a class made from these runs code of the project's when it is made."""
        for node in {node for name in names for node in self._definitions(module, name)} - seen:
            registered = (self.definition((node[0], EFFECTS)) or {}).get("registered", {})
            bases = registered.get(node[1], ((), ()))[1]
            if (self.definition(node) or {}).get("hooks") or self._hears(node[0], bases, seen | {node}):
                return True
        return False

    def _definitions(self, module: str, name: str) -> set[Node]:
        found = self._members(module, name.split("."), frozenset(), set()) or set()
        return {(there, known) for there, known in found if there and self._defines(there, known)}

    def _defines(self, module: str, name: str) -> bool:
        """Whether *name* is more than an import, whose origin is part of the hash of what uses it."""
        summary = self._modules.summary(module)
        return summary is not None and name in summary["definitions"]

    def _has_foreign_stars(self, module: str) -> bool:
        summary = self._modules.summary(module)
        return summary is not None and any(self._modules.summary(star) is None for star in summary["stars"])

    def _follow(self, target: str, rest: list[str], seen: frozenset[str], said: set[str]) -> set[Node]:
        """Resolve what was imported, and the attributes read from it, to definitions.

        A module that is passed on, or asked for what its source does not show, counts as a whole.
        """
        module, _, member = target.partition(":")
        chain = [member, *rest] if member else rest
        if self._modules.summary(module) is None:
            name = ".".join([module, *chain])
            return {("", name)} if name in _OUTSIDE else set()
        step = ".".join([module, ":", *chain])
        if step in seen:
            return set()
        found = self._members(module, chain, seen | {step}, said) if chain else None
        if found is not None:
            return found
        read = f"reads {chain[0]} of {module}, whose source does not show it" if chain else f"uses {module} as a value"
        said.add(f"{read}: the whole module {module} counts")
        return self.whole(module)

    def _members(self, module: str, chain: list[str], seen: frozenset[str], said: set[str]) -> set[Node] | None:
        """Return the definitions that `module.chain` reads, or None if the module has no such name."""
        summary = self._modules.summary(module)
        if summary is None:
            return None
        first, rest, itself = chain[0], chain[1:], f"{module}:{chain[0]}"
        targets = [target for target in summary["imports"].get(first, ()) if target != itself]
        starred = [self._members(star, chain, seen | {f"{star}:*"}, said) for star in _new(summary["stars"], seen)]
        found = set().union(*(each for each in starred if each is not None))
        if targets or first in summary["definitions"]:
            followed = (self._follow(target, rest, seen, said) for target in targets)
            return found.union({(module, first)}, *followed)
        if itself in summary["imports"].get(first, ()) or self._modules.is_submodule(module, first):
            return found | self._follow(f"{module}.{first}", rest, seen, said)
        return found if any(each is not None for each in starred) else None


def _new(stars: Iterable[str], seen: frozenset[str]) -> list[str]:
    return [star for star in stars if f"{star}:*" not in seen]


def _by_name(pattern: str, module: str) -> str:
    """Say what an import by name makes count."""
    if pattern == ANY:
        return f"imports by a name that is worked out: every module of {module.partition('.')[0]} counts"
    if pattern.endswith(ANY):
        return f"imports by a name that begins with {pattern[:-1]}: every such module counts"
    return f"imports {pattern} by name: the whole module {pattern} counts"
