"""Finds the names that a syntax tree reads from outside, as Python's rules of scope have it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp

Place = tuple[ast.AST, frozenset[str]]
"""A node, and the names that are not the module's there."""


def names_in(node: ast.AST, hidden: frozenset[str] = frozenset()) -> set[str]:
    """Return the dotted names that a tree reads from outside: for `a.b.c` only the longest chain.

    Parameters and variables of a function are its own, whatever the module calls by the same name.
    *hidden* are those of the functions around. Names that a function imports count as read.
    """
    return read_by(walk(node, hidden))


def read_by(walked: Iterable[Place]) -> set[str]:
    """Return the dotted names that the nodes of a walk read from outside."""
    return {name for inner, own in walked for name in _read(inner, own)}


def walk(node: ast.AST, hidden: frozenset[str] = frozenset()) -> Iterator[Place]:
    """Walk a tree with the names that are not the module's at each place; a chain `a.b.c` is one node."""
    yield node, hidden
    match node:
        case ast.Attribute() if chain_of(node):
            return
        case ast.Call() if looked_up(node):
            yield from _walk([node.func, *node.args[2:]], hidden)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _walk(_around(node), hidden)
            yield from _walk(_body(node), hidden | _variables(node))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            targets = frozenset(name for part in node.generators for name in _stored(part.target))
            yield from walk(node.generators[0].iter, hidden)
            yield from _walk(_inside(node), hidden | targets)
        case _:
            yield from _walk(ast.iter_child_nodes(node), hidden)


def _walk(nodes: Iterable[ast.AST], hidden: frozenset[str]) -> Iterator[Place]:
    for node in nodes:
        yield from walk(node, hidden)


def _read(node: ast.AST, hidden: frozenset[str]) -> Iterable[str]:
    """Return the names that a node itself reads, without those inside it."""
    match node:
        case ast.Name(ctx=ast.Load()) | ast.Attribute():
            chain = chain_of(node)
        case ast.Call():
            chain = looked_up(node)
        case ast.Global():
            return node.names
        case _:
            return ()
    return (".".join(chain),) if chain and chain[0] not in hidden else ()


def chain_of(node: ast.AST) -> list[str]:
    """Return the parts of `a` or `a.b.c`, or nothing for what is neither a name nor an attribute of one."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def looked_up(node: ast.Call) -> list[str]:
    """Return the parts of `a.b` for `getattr(a, "b")`, whose name is plain to see; else nothing."""
    match node:
        case ast.Call(func=ast.Name("getattr"), args=[owner, ast.Constant(str(name)), *_]) if chain := chain_of(owner):
            return [*chain, name]
    return []


def bound_in(node: ast.AST) -> set[str]:
    """Return every name that is given a value anywhere in a tree, in whatever scope."""
    found: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.arg(arg=name):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                found |= _imported(inner)
            case ast.Global():
                found.update(inner.names)
            case _:
                found |= _binds(inner)
    return found


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


def _binds(node: ast.AST) -> set[str]:
    """Return the names that a node itself gives a value to, other than by an import."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return {name}
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return {name}
    return set()


def captured(node: ast.AST) -> set[str]:
    """Return the names that `:=` and the patterns of `match` give a value to around functions and classes."""
    kinds = ast.NamedExpr | ast.MatchAs | ast.MatchStar | ast.MatchMapping
    found = [item for item in _own([node]) if isinstance(item, kinds)]
    return {name for item in found for name in _binds(item.target if isinstance(item, ast.NamedExpr) else item)}


def _stored(target: ast.AST) -> list[str]:
    names = [node for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [node.id for node in names if isinstance(node.ctx, ast.Store)]


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
        bound |= _binds(node)
    return frozenset(bound - _foreign(function))


def _foreign(function: Function) -> set[str]:
    """Return the names that a function declares global or imports, also where it binds them as well."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= _imported(node)
    return found


def _own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Walk a scope without the scopes inside it, but with what `:=` in a comprehension binds around it."""
    for node in nodes:
        yield node
        if isinstance(node, Comprehension):
            yield from _own(inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, Function | ast.ClassDef):
            yield from _own(ast.iter_child_nodes(node))
