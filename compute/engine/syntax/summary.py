"""Reads a module's source into its definitions: a hash of each, and the names that each refers to.

Works on syntax trees alone and imports nothing: comments, docstrings, formatting, annotations and
the order of definitions leave every hash as it is.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from compute.engine.keys import hashed
from compute.engine.syntax.bare import bare, form, text
from compute.engine.syntax.bindings import EFFECTS, bindings, flat, hooks, imports_of, registered, runs, strings
from compute.engine.syntax.lookups import lookups
from compute.engine.syntax.names import bound_in, read_by, walk

READER = "5"
"""The version of the summaries: those that another version has read are not taken for ours."""

Summary = dict[str, Any]
"""A module: {"imports": {local name: [target]}, "stars": [module], "runs": [module], "definitions": {…}}.

A definition by name: {"hash", "names", "imports"} and, where there are any, "runs": the modules that its own imports
run; "calls": what it imports by name; "unknown": names that nothing in sight gives a value; "hooks": True for
a class that hears of those derived from it; "registered": see `bindings.registered`.
"""

_GIVEN = {*dir(builtins), "__file__", "__path__", "__annotations__", "__builtins__", "__class__", "__dict__"}
_ALWAYS = ("hash", "names", "imports")


def summarise(source: str | bytes, module: str, *, package: bool) -> Summary:
    """Return the summary of a *module*, whose relative imports start at itself if it is a *package*."""
    reading = _Reading(source, module, package=package)
    definitions = {name: _short(found) for name, found in reading.definitions.items()}
    return {"imports": reading.imports, "stars": reading.stars, "runs": reading.runs, "definitions": definitions}


def _short(definition: Summary) -> Summary:
    """Leave out what a definition has not: most have little."""
    return {name: value for name, value in definition.items() if value or name in _ALWAYS}


def texts(source: str | bytes, module: str, *, package: bool) -> dict[str, tuple[str, str]]:
    """Return each definition of a module as (hash, text): just what the hash was taken over."""
    reading = _Reading(source, module, package=package)
    found = {}
    for name, definition in reading.definitions.items():
        statements = map(text, reading.bound.get(name, ()))
        found[name] = definition["hash"], "\n".join([*_written(reading.used(name), reading.stars), *statements])
    for name, targets in reading.imports.items():
        found.setdefault(name, (import_hash(targets), "\n".join(_written({name: targets}))))
    return found


def import_hash(targets: Sequence[str]) -> str:
    """Return the hash of a name that a module only imports."""
    return hashed(["import", *targets])


def _written(imports: Mapping[str, Sequence[str]], stars: Sequence[str] = ()) -> list[str]:
    """Write what imported names stand for as statements, none of them relative."""
    lines = [f"from {star} import *" for star in stars]
    for name, targets in sorted(imports.items()):
        for module, _, member in (target.partition(":") for target in targets):
            start = f"from {module} import {member}" if member else f"import {module}"
            lines.append(start if name == (member or module) else f"{start} as {name}")
    return lines


class _Reading:
    """A module while it is read."""

    def __init__(self, source: str | bytes, module: str, *, package: bool) -> None:
        self.here = module if package else module.rpartition(".")[0]
        body = bare(source).body
        nodes = [node for statement in body for node in flat(statement)]
        self.imports, self.stars = imports_of(nodes, self.here)
        self.runs = runs(nodes, self.here)
        self.strings = {**strings(body), "__name__": module, "__package__": self.here}
        self.bound = bindings(body, self.imports)
        self.definitions: dict[str, Summary] = {}
        for name, statements in self.bound.items():
            self._define(name, statements)
        if found := registered(self.bound, {*self.bound, *self.imports}):
            self.definitions.setdefault(EFFECTS, _nothing())["registered"] = found

    def used(self, name: str) -> dict[str, list[str]]:
        """Return what a definition reads of the module's imports."""
        read = {each.partition(".")[0] for each in self.definitions[name]["names"]}
        return {first: self.imports[first] for first in sorted(read & set(self.imports))}

    def _define(self, name: str, statements: Sequence[ast.stmt]) -> None:
        """Take all statements of one name for its definition: a name bound twice depends on both."""
        definition = self.definitions[name] = _nothing()
        for statement in statements:
            definition["hash"] = _hash(definition["hash"], form(statement))
            self._add(definition, statement)
        # Where imported names come from counts: "as" can give a name to other things.
        targets = [[first, *found] for first, found in self.used(name).items()]
        if targets or self.stars:
            definition["hash"] = _hash(definition["hash"], [targets, self.stars])

    def _add(self, definition: Summary, statement: ast.stmt) -> None:
        """Add what one statement refers to."""
        walked = list(walk(statement))
        inner = [node for node in ast.walk(statement) if isinstance(node, ast.Import | ast.ImportFrom)]
        read, imports = read_by(walked), imports_of(inner, self.here)[0]
        named = {**self.imports, **imports}
        unknown = {each.partition(".")[0] for each in read} - {*self.bound, *named, *_GIVEN}
        unknown -= bound_in(statement) if unknown else set()
        definition["names"] = sorted({*definition["names"], *read})
        definition["unknown"] = sorted({*definition["unknown"], *unknown})
        definition["runs"] = sorted({*definition["runs"], *runs(inner, self.here)})
        definition["hooks"] |= hooks(statement)
        for mapping, more in (("imports", imports), ("calls", lookups(walked, named, self.strings))):
            for name, items in more.items():
                definition[mapping].setdefault(name, []).extend(items)


def _nothing() -> Summary:
    return {"hash": "", "names": [], "imports": {}, "runs": [], "calls": {}, "unknown": [], "hooks": False}


def _hash(before: str, tree: object) -> str:
    return sha256(f"{before}{tree!r}".encode()).hexdigest()
