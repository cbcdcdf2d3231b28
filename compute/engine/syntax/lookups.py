"""Finds calls that name a module by a string, and reads from them as much of the string as the source shows.

What a string may be is written as a pattern: "a.b" is that module, "a.b*" any whose name begins so, "*" any at all.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from compute.engine.syntax.names import Place, chain_of

PLUGIN = "compute.plugins.load"
"""The project's own way to import by name: a cell that declares the package has its choice followed."""

BY_NAME = (
    *("importlib.import_module", "importlib.__import__", "builtins.__import__", "__import__"),
    *("pkgutil.resolve_name", "pydoc.locate", "runpy.run_module", "sys.modules", "sys.modules.get"),
)
BY_FILE = ("importlib.machinery.SourceFileLoader", "importlib.util.spec_from_file_location", "runpy.run_path")
IMPORTERS = (*BY_NAME, *BY_FILE)
DERIVED = "__subclasses__"
"""The attribute by which a class knows those derived from it, wherever they are."""

ANY = "*"

Lookups = dict[str, list[str]]
"""What is called, as it is called there → a pattern for each module or package that calls name."""


def lookups(walked: Iterable[Place], named: Mapping[str, Sequence[str]], strings: Mapping[str, str]) -> Lookups:
    """Return the calls among the nodes of a walk that import by name, and what they name.

    *named* has what the names of imported things stand for, *strings* the constants of the module. Who passes
    such a function on may import anything.
    """
    found: Lookups = {}
    reads: Counter[str] = Counter()
    for inner, hidden in walked:
        chain = chain_of(inner)
        if chain and chain[0] not in hidden and _stands_for(chain, named):
            reads[".".join(chain)] += 1
        if isinstance(inner, ast.Attribute) and inner.attr == DERIVED:
            found[DERIVED] = [ANY]
        asked = _asked(inner)
        if asked and (kind := _stands_for(chain_of(asked), named)):
            pattern = _named(inner, kind, {name: text for name, text in strings.items() if name not in hidden})
            found.setdefault(".".join(chain_of(asked)), []).append(pattern)
    for name, count in reads.items():
        if count > len(found.get(name, ())):
            found.setdefault(name, []).append(ANY)
    return found


def _asked(node: ast.AST) -> ast.expr | None:
    """Return what is called, or what is looked into with [...]."""
    if isinstance(node, ast.Call):
        return node.func
    return node.value if isinstance(node, ast.Subscript) else None


def _stands_for(chain: list[str], named: Mapping[str, Sequence[str]]) -> str:
    """Return which importing function a chain of names is, or nothing."""
    if not chain:
        return ""
    origins = [*(target.replace(":", ".") for target in named.get(chain[0], ())), chain[0]]
    spelt = [".".join([origin, *chain[1:]]) for origin in origins]
    if any(name.startswith("sys.modules.") for name in spelt):
        return "sys.modules"
    return next((name for name in spelt if name in (*IMPORTERS, PLUGIN)), "")


def _named(node: ast.AST, kind: str, strings: Mapping[str, str]) -> str:
    """Return the pattern of what a call, or [...], names."""
    if isinstance(node, ast.Subscript):
        return _spelt(*_text(node.slice, strings))
    assert isinstance(node, ast.Call)
    text, whole = _text(_argument(node, 0, "package" if kind == PLUGIN else "name"), strings)
    level = _argument(node, 4, "level")
    from_here = kind.endswith("__import__") and not (level is None or _is_zero(level))
    if kind in BY_FILE or from_here:
        return ANY
    if not kind.endswith("import_module") or not text.startswith("."):
        return _spelt(text.partition(":")[0], whole)
    return _relative(text, whole, *_text(_argument(node, 1, "package"), strings))


def _relative(text: str, whole: bool, package: str, known: bool) -> str:
    """Return the pattern of a name that begins with dots, from a *package* that may not be *known*."""
    parts, up = package.split("."), len(text) - len(text.lstrip(".")) - 1
    if not known or up >= len(parts):
        return ANY
    return _spelt(".".join([*parts[: len(parts) - up], text.lstrip(".")]), whole)


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    if any(isinstance(item, ast.Starred) for item in call.args[: place + 1]):
        return None
    given = {item.arg: item.value for item in call.keywords}
    return call.args[place] if place < len(call.args) else given.get(name)


def _spelt(text: str, whole: bool) -> str:
    """Write a pattern; a beginning that does not name the top package could be anything."""
    return text if whole and text else f"{text}*" if "." in text else ANY


def _text(node: ast.expr | None, strings: Mapping[str, str]) -> tuple[str, bool]:
    """Return the string that an expression is or begins with, and whether that is the whole of it."""
    match node:
        case ast.Constant(str(text)):
            return text, True
        case ast.Name(id=name) if name in strings:
            return strings[name], True
        case ast.BinOp(left, ast.Add(), right):
            return _joined([left, right], strings)
        case ast.BinOp(ast.Constant(str(text)), ast.Mod(), _):
            return text.partition("%")[0], False
        case ast.Call(ast.Attribute(ast.Constant(str(text)), "format")):
            return text.partition("{")[0], False
        case ast.JoinedStr(values):
            return _joined(values, strings)
        case ast.FormattedValue(value, -1, None):
            return _text(value, strings)
    return "", False


def _joined(parts: Sequence[ast.expr], strings: Mapping[str, str]) -> tuple[str, bool]:
    found = ""
    for part in parts:
        text, whole = _text(part, strings)
        found += text
        if not whole:
            return found, False
    return found, True
