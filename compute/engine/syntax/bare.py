"""Strips a syntax tree of what cannot change a result, and writes what is left as data or as text."""

from __future__ import annotations

import ast
from copy import deepcopy
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)

WIDEST = 100
"""Characters of a constant that is written on one line."""


def bare(source: str | bytes) -> ast.Module:
    """Parse a module without docstrings, annotations and the @cell decorator's options."""
    tree: ast.Module = Bare().visit(ast.parse(source))
    tree.body = [statement for statement in tree.body if not _is_aside(statement)]
    return tree


class Bare(ast.NodeTransformer):
    """Removes what does not change a result."""

    def __init__(self) -> None:
        self.in_class = False

    def visit(self, node: ast.AST) -> Any:
        """Strip a node and those inside it."""
        if isinstance(node, (*DEFINITIONS, ast.Module)):
            return self._scope(node)
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            return self._annotated(node)
        return self.generic_visit(node)

    def _scope(self, node: Any) -> Any:
        outer, self.in_class = self.in_class, isinstance(node, ast.ClassDef)
        node.body = [item for item in node.body if not _is_idle(item)]
        if getattr(node, "type_params", None):
            node.type_params = []
        if isinstance(node, FUNCTIONS):
            node.returns = None
            node.decorator_list = [item for item in node.decorator_list if not _is_cell(item)]
        self.generic_visit(node)
        self.in_class = outer
        return node

    def _annotated(self, node: ast.AnnAssign) -> Any:
        """Take `x: T = 1` for `x = 1`, but in a class, where an annotation makes a field."""
        if self.in_class:
            node.annotation = ast.Constant("")
            return self.generic_visit(node)
        return self.generic_visit(ast.Assign([node.target], node.value)) if node.value else None


def _is_aside(statement: ast.stmt) -> bool:
    """Whether a top-level `if` is for type checkers or for running the module as a script."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    match statement.test:
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]):
            return True
        case ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False


def _is_idle(node: ast.stmt) -> bool:
    """Whether a statement does nothing: a docstring, `pass` or `...`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _is_cell(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "cell"


def form(node: Any) -> Any:
    """Return a tree as nested lists, the same under every version of Python: what is absent is left out."""
    if isinstance(node, ast.AST):
        members = [(name, getattr(node, name, None)) for name in node._fields if name != "kind"]
        return [
            type(node).__name__,
            *([name, form(item)] for name, item in members if item not in (None, [])),
        ]
    return [form(item) for item in node] if isinstance(node, list) else node


def text(statement: ast.stmt) -> str:
    """Write a stripped statement as Python, the same for all that have one form."""
    shown = deepcopy(statement)
    for node in ast.walk(shown):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(...)
        if isinstance(node, DEFINITIONS) and not node.body:
            node.body = [ast.Pass()]
    ast.fix_missing_locations(shown)
    if isinstance(shown, ast.Assign):
        return " = ".join([*map(ast.unparse, shown.targets), _display(shown.value)])
    return ast.unparse(shown)


def _display(node: ast.expr, margin: str = "") -> str:
    """Write a long list or mapping with one item a line, so that a diff shows which of them changed."""
    flat = ast.unparse(node)
    if len(flat) <= WIDEST or not isinstance(node, ast.Dict | ast.List | ast.Set | ast.Tuple):
        return flat
    inner = margin + "    "
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        items = [
            f"{ast.unparse(key)}: {_display(item, inner)}" if key else f"**{ast.unparse(item)}" for key, item in pairs
        ]
    else:
        items = [_display(item, inner) for item in node.elts]
    start, end = ("(", ")") if isinstance(node, ast.Tuple) else (flat[0], flat[-1])
    return "\n".join([start, *(f"{inner}{item}," for item in items), margin + end])
