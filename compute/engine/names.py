"""Finds the names that a syntax tree reads from outside, as Python's rules of scope have it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def names_in(node: ast.AST, hidden: frozenset[str] = frozenset()) -> set[str]:
    """Return the dotted names that a tree reads from outside: for `a.b.c` only the longest chain.

    Parameters and variables of a function are its own, whatever the module calls by the same name.
    *hidden* are those of the functions around. Names that a function imports count as read.
    """
    match node:
        case ast.Name():
            return {node.id} - hidden if isinstance(node.ctx, ast.Load) else set()
        case ast.Attribute() if chain := _chain(node):
            return {".".join(chain)} if chain[0] not in hidden else set()
        case ast.Global():
            return set(node.names)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return _union(_around(node), hidden) | _union(_body(node), hidden | _variables(node))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            targets = frozenset(name for part in node.generators for name in _stored(part.target))
            return names_in(node.generators[0].iter, hidden) | _union(_inside(node), hidden | targets)
    return _union(ast.iter_child_nodes(node), hidden)


def _union(nodes: Iterable[ast.AST], hidden: frozenset[str]) -> set[str]:
    return {name for node in nodes for name in names_in(node, hidden)}


def _stored(target: ast.AST) -> list[str]:
    names = [node for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [node.id for node in names if isinstance(node.ctx, ast.Store)]


def _chain(node: ast.Attribute) -> list[str]:
    """Return the parts of `a.b.c`, or nothing for attributes of what is not a name."""
    parts: list[str] = []
    link: ast.expr = node
    while isinstance(link, ast.Attribute):
        parts.append(link.attr)
        link = link.value
    return [link.id, *reversed(parts)] if isinstance(link, ast.Name) else []


def _around(function: Function) -> list[ast.AST]:
    """Return what is evaluated where a function is defined."""
    arguments = function.args
    decorators = [] if isinstance(function, ast.Lambda) else function.decorator_list
    return [*decorators, *arguments.defaults, *(item for item in arguments.kw_defaults if item)]


def _body(function: Function) -> list[ast.AST]:
    return [function.body] if isinstance(function, ast.Lambda) else [*function.body]


def _inside(node: Comprehension) -> Iterator[ast.AST]:
    """Walk what is evaluated in a comprehension's own scope: all but where its first items come from."""
    yield from (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    for number, part in enumerate(node.generators):
        yield from (part.target, *part.ifs, *([part.iter] if number else []))


def _variables(function: Function) -> frozenset[str]:
    """Return the names that are a function's own: bound in it, and neither global nor imported."""
    named, starred = function.args, (function.args.vararg, function.args.kwarg)
    bound = {item.arg for item in (*named.posonlyargs, *named.args, *named.kwonlyargs, *starred) if item}
    for node in _own(_body(function)):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                bound.add(name)
    return frozenset(bound - _foreign(function))


def _foreign(function: Function) -> set[str]:
    """Return the names that a function declares global or imports, also where it binds them as well."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
    return found


def _own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Walk a scope without the scopes inside it, but with what `:=` in a comprehension binds around it."""
    for node in nodes:
        yield node
        if isinstance(node, Comprehension):
            yield from (inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, Function | ast.ClassDef):
            yield from _own(ast.iter_child_nodes(node))
