"""Says which names a module's statements bind, what they import, and what importing them does besides."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from compute.engine.syntax.bare import DEFINITIONS, FUNCTIONS
from compute.engine.syntax.names import bound_in, captured, names_in

EFFECTS = "<import>"
"""The definition that stands for what a module does when it is imported, beside defining names."""

_IMPORTS = (ast.Import, ast.ImportFrom)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def flat(statement: ast.AST) -> Iterator[ast.AST]:
    """Walk a statement and those in its blocks, but not what is inside functions and classes."""
    yield statement
    if not isinstance(statement, DEFINITIONS):
        for block in _BLOCKS:
            for inner in getattr(statement, block, []):
                yield from flat(inner)


def bindings(body: Sequence[ast.stmt], imports: Mapping[str, object]) -> dict[str, list[ast.stmt]]:
    """Return the statements that give each of the module's names its value, and EFFECTS with its own."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in body:
        for name in sorted(_bound(statement, imports)):
            found.setdefault(name, []).append(statement)
    return found


def _bound(statement: ast.stmt, imports: Mapping[str, object]) -> set[str]:
    """Return the names that a top-level statement, or one in its blocks, gives a value to.

    A function that declares a name global is part of what the name stands for. What is stored into something
    that another module owns is done for its effect, like a bare call.
    """
    inner = list(flat(statement))
    if all(isinstance(node, (*_IMPORTS, ast.Pass, ast.Try, ast.ExceptHandler)) for node in inner):
        return set()
    bound = {EFFECTS} if any(map(_is_effect, inner)) else set()
    for node in inner:
        bound |= {node.name, *_globals(node)} if isinstance(node, DEFINITIONS) else captured(node)
        for target in _targets(node):
            names = {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
            foreign = not isinstance(target, ast.Name) and names & set(imports)
            bound |= names | ({EFFECTS} if foreign or names == {"_"} else set())
    return bound or {EFFECTS}


def _is_effect(node: ast.AST) -> bool:
    """Whether a statement is there for what it does."""
    said = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    return said or isinstance(node, ast.Assert | ast.Delete | ast.Raise)


def _globals(definition: ast.AST) -> set[str]:
    return {name for node in ast.walk(definition) if isinstance(node, ast.Global) for name in node.names}


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
        return [node.target]
    if isinstance(node, ast.With):
        return [item.optional_vars for item in node.items if item.optional_vars]
    named = getattr(node, "name", None) if type(node).__name__ == "TypeAlias" else None
    return [named] if named else []


def strings(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Return the names that stand for one string wherever the module reads them."""
    found: dict[str, str] = {}
    for statement in body:
        match statement:
            case ast.Assign([ast.Name(id=name)], ast.Constant(str(text))):
                found[name] = text
    counts = Counter(name for statement in body for name in bound_in(statement)) if found else Counter[str]()
    return {name: text for name, text in found.items() if counts[name] == 1}


# -- imports -------------------------------------------------------------------------------------------------


def imports_of(nodes: Iterable[ast.AST], here: str) -> tuple[dict[str, list[str]], list[str]]:
    """Map each local name to what it may stand for: a module "a.b", or a member "a.b:c"; list `*` apart.

    *here* is the package that relative names start from.
    """
    found: dict[str, list[str]] = {}
    stars: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found.setdefault(alias.asname or first, []).append(alias.name if alias.asname else first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    stars.append(_origin(node, here))
                else:
                    found.setdefault(alias.asname or alias.name, []).append(f"{_origin(node, here)}:{alias.name}")
    return found, stars


def runs(nodes: Iterable[ast.AST], here: str) -> list[str]:
    """Return the modules that imports run, as "a.b", or "a.b:c" where c may be one, too."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{_origin(node, here)}:{alias.name}" for alias in node.names}
    return sorted(found)


def _origin(node: ast.ImportFrom, here: str) -> str:
    parts = here.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
    return ".".join(part for part in (base, node.module or "") if part)


# -- what a module may hand to others without their reading a name of it ---------------------------------------


def registered(bound: Mapping[str, Sequence[ast.stmt]], own: set[str]) -> dict[str, list[list[str]]]:
    """Return definitions that others may find: the names of what took them, and of the classes they are of.

    What takes one is a decorator, or a function whose call with something of the module's *own* gave the name
    its value.
    """
    found = {}
    for name, statements in bound.items():
        nodes = [node for statement in statements for node in flat(statement)]
        givers = {read for node in nodes for giver in _givers(node, name, own) for read in names_in(giver)}
        bases = {read for node in nodes for base in _bases(node, name) for read in names_in(base)}
        known = [sorted(read for read in names if _root(read) in own) for names in (givers, bases)]
        if name != EFFECTS and any(known):
            found[name] = known
    return found


def _root(name: str) -> str:
    return name.partition(".")[0]


def _givers(node: ast.AST, name: str, own: set[str]) -> list[ast.expr]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if node.name == name:
            return node.decorator_list
        case ast.Assign([ast.Name(id=target)], ast.Call(function, given)) if target == name:
            return [function] if any(_root(read) in own for item in given for read in names_in(item)) else []
    return []


def _bases(node: ast.AST, name: str) -> list[ast.expr]:
    """Return what a class is made from: that may keep a list of its kind."""
    if not isinstance(node, ast.ClassDef) or node.name != name:
        return []
    return [*node.bases, *(item.value for item in node.keywords if item.arg == "metaclass")]


def hooks(statement: ast.stmt) -> bool:
    """Whether a class runs code of its own when another is derived from it or made by it."""
    if not isinstance(statement, ast.ClassDef):
        return False
    named = {item.name for item in statement.body if isinstance(item, FUNCTIONS)}
    return "__init_subclass__" in named or any(names_in(base) == {"type"} for base in statement.bases)
