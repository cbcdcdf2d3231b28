"""Reads a module's source into its definitions: a hash of each, and the names that each refers to.

Works on syntax trees alone and imports nothing: comments, docstrings, formatting, annotations and
the order of definitions leave every hash as it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from compute.engine.names import names_in

READER = "3"
"""The version of the summaries: those that another version has read are not taken for ours."""

EFFECTS = "<import>"
"""The definition that stands for what a module does when it is imported, beside defining names."""

Summary = dict[str, Any]
"""A module: {"imports": {local name: [target]}, "stars": [module], "definitions": {name: definition}};
a definition: {"hash", "names", "imports"}."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def summarise(source: str | bytes, module: str, *, package: bool) -> Summary:
    """Return the summary of a *module*, whose relative imports start at itself if it is a *package*."""
    tree = _Bare().visit(ast.parse(source))
    here = module if package else module.rpartition(".")[0]
    body = [statement for statement in tree.body if not _is_aside(statement)]
    imported = [node for statement in body for node in _flat(statement) if isinstance(node, _IMPORTS)]
    imports, stars = _imports(imported, here)
    definitions: dict[str, Summary] = {}
    for statement in body:
        for name in _bound(statement):
            _add(definitions.setdefault(name, _nothing()), statement, here)
    _name_registered(body, definitions)
    for definition in definitions.values():
        _add_targets(definition, imports, stars)
    return {"imports": imports, "stars": stars, "definitions": definitions}


def _nothing() -> Summary:
    return {"hash": "", "names": [], "imports": {}}


def _is_aside(statement: ast.stmt) -> bool:
    """Whether a top-level `if` is for type checkers or for running the module as a script."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    test = statement.test.left if isinstance(statement.test, ast.Compare) else statement.test
    return ast.unparse(test).rpartition(".")[2] in ("TYPE_CHECKING", "__name__")


def _flat(statement: ast.AST) -> Iterator[ast.AST]:
    """Walk a statement and those in its blocks, but not what is inside functions and classes."""
    yield statement
    if not isinstance(statement, _DEFINITIONS):
        for block in _BLOCKS:
            for inner in getattr(statement, block, []):
                yield from _flat(inner)


def _bound(statement: ast.stmt) -> set[str]:
    """Return the module's names that a top-level statement, or one in its blocks, gives a value to."""
    inner = list(_flat(statement))
    if all(isinstance(node, (*_IMPORTS, ast.Pass, ast.Try, ast.ExceptHandler)) for node in inner):
        return set()
    bound = {node.name for node in inner if isinstance(node, _DEFINITIONS)}
    for node in inner:
        for target in _targets(node):
            bound |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
    return bound or {EFFECTS}


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
        return [node.target]
    if isinstance(node, ast.With):
        return [item.optional_vars for item in node.items if item.optional_vars]
    return []


def _add(definition: Summary, statement: ast.stmt, here: str) -> None:
    """Add one statement to a definition: a name bound twice depends on both bindings."""
    definition["hash"] = _hash(definition["hash"], _form(statement))
    definition["names"] = sorted({*definition["names"], *names_in(statement)})
    inner = [node for node in ast.walk(statement) if isinstance(node, _IMPORTS)]
    for name, targets in _imports(inner, here)[0].items():
        definition["imports"].setdefault(name, []).extend(targets)


def _name_registered(body: Iterable[ast.stmt], definitions: dict[str, Summary]) -> None:
    """Let importing a module reach what its own decorators decorate: they may keep it for others to find."""
    for statement in body:
        decorators = getattr(statement, "decorator_list", [])
        roots = {name.partition(".")[0] for decorator in decorators for name in names_in(decorator)}
        if isinstance(statement, _DEFINITIONS) and roots & set(definitions):
            definitions.setdefault(EFFECTS, _nothing())["names"].append(statement.name)


def _add_targets(definition: Summary, imports: dict[str, list[str]], stars: list[str]) -> None:
    """Let a definition depend on where its imported names come from: "as" can give a name to other things."""
    used = {name.partition(".")[0] for name in definition["names"]}
    targets = [[name, *imports[name]] for name in sorted(used & set(imports))]
    if targets or stars:
        definition["hash"] = _hash(definition["hash"], [targets, stars])


def _hash(before: str, form: object) -> str:
    return sha256(f"{before}{form!r}".encode()).hexdigest()


def _form(node: Any) -> Any:
    """Return a tree as nested lists, the same under every version of Python: what is absent is left out."""
    if isinstance(node, ast.AST):
        members = [(name, getattr(node, name, None)) for name in node._fields if name != "kind"]
        return [
            type(node).__name__,
            *([name, _form(item)] for name, item in members if item not in (None, [])),
        ]
    return [_form(item) for item in node] if isinstance(node, list) else node


class _Bare(ast.NodeTransformer):
    """Removes what does not change a result: docstrings, annotations, the @cell decorator's options."""

    def __init__(self) -> None:
        self.in_class = False

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (*_DEFINITIONS, ast.Module)):
            return self._scope(node)
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            return self._annotated(node)
        return self.generic_visit(node)

    def _scope(self, node: Any) -> Any:
        outer, self.in_class = self.in_class, isinstance(node, ast.ClassDef)
        node.body = [item for item in node.body if not _is_text(item)]
        if isinstance(node, _FUNCTIONS):
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


def _is_text(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_cell(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "cell"


def _imports(statements: list[Any], here: str) -> tuple[dict[str, list[str]], list[str]]:
    """Map each local name to what it may stand for: a module "a.b", or a member "a.b:c"; list `*` apart."""
    found: dict[str, list[str]] = {}
    stars: list[str] = []
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found.setdefault(alias.asname or first, []).append(alias.name if alias.asname else first)
            continue
        base = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module or "") if part)
        for alias in node.names:
            if alias.name == "*":
                stars.append(module)
            else:
                found.setdefault(alias.asname or alias.name, []).append(f"{module}:{alias.name}")
    return found, stars
