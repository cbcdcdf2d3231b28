"""Reads a module's source into its definitions: a hash of each, and the names that each refers to.

Works on syntax trees alone and imports nothing: comments, docstrings, formatting, annotations and
the order of definitions leave every hash as it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

Summary = dict[str, Any]
"""{"imports": {local name: target}, "definitions": {name: {"hash", "names", "imports"}}}"""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (*_FUNCTIONS, ast.ClassDef, ast.Module)


def summarise(source: str, module: str, *, package: bool) -> Summary:
    """Return the imports and definitions of a *module*, whose relative imports start at itself if a *package*."""
    tree = ast.parse(source)
    here = module if package else module.rpartition(".")[0]
    definitions: dict[str, Summary] = {}
    for statement in _statements(tree.body):
        for name in _defined(statement):
            _add(definitions.setdefault(name, {"hash": "", "names": [], "imports": {}}), statement, here)
    top = [node for node in _statements(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {"imports": _imports(top, here), "definitions": definitions}


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk the top level, also inside `if`, `try` and `with`."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With):
            parts = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody", "handlers")]
            nested = [node for part in parts for node in part]
            handlers = [node for node in nested if isinstance(node, ast.ExceptHandler)]
            yield from _statements([node for node in nested if isinstance(node, ast.stmt)])
            yield from _statements([node for handler in handlers for node in handler.body])
        else:
            yield statement


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


def _add(definition: Summary, statement: ast.stmt, here: str) -> None:
    """Add one statement to a definition: a name bound twice depends on both bindings."""
    bare = _Bare().visit(ast.parse(ast.unparse(statement)))
    text = ast.dump(bare, annotate_fields=False)
    definition["hash"] = sha256(f"{definition['hash']}{text}".encode()).hexdigest()
    definition["names"] = sorted({*definition["names"], *_names(bare)})
    inner = [node for node in ast.walk(bare) if isinstance(node, ast.Import | ast.ImportFrom)]
    definition["imports"].update(_imports(inner, here))


class _Bare(ast.NodeTransformer):
    """Removes what does not change a result: docstrings, annotations, the @cell decorator's options."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, _DOCUMENTED):
            body = [item for item in node.body if not _is_text(item)]
            node.body = body or ([ast.Pass()] if not isinstance(node, ast.Module) else [])
        if isinstance(node, _FUNCTIONS):
            node.returns = None
            node.decorator_list = [item for item in node.decorator_list if not _is_cell(item)]
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_cell(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "cell"


def _names(tree: ast.AST) -> set[str]:
    """Return the dotted names read in a tree: for `a.b.c` only the longest chain."""
    chains: set[str] = set()
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inside:
            parts: list[str] = []
            link: ast.expr = node
            while isinstance(link, ast.Attribute):
                parts.append(link.attr)
                link = link.value
                inside.add(id(link))
            if isinstance(link, ast.Name):
                chains.add(".".join([link.id, *reversed(parts)]))
    return chains


def _imports(statements: list[Any], here: str) -> dict[str, str]:
    """Map each local name to what it stands for: a module "a.b", or a member of one "a.b:c"."""
    found: dict[str, str] = {}
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        else:
            base = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found.update({alias.asname or alias.name: f"{module}:{alias.name}" for alias in node.names})
    return found
