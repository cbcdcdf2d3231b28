from __future__ import annotations

import ast
import symtable
from pathlib import Path
from textwrap import dedent

import pytest

from compute.engine.syntax.bare import Bare
from compute.engine.syntax.names import names_in

READ = {
    "the longest chain": ("a.b.c(g().h)", {"a.b.c", "g"}),
    "what a call is given": ("f(x, *y, k=z)", {"f", "x", "y", "z"}),
    "what is stored into": ("a.b = 1; c[d] = 2; e = 3", {"c", "d", "a.b"}),
    "a parameter is the function's own": ("def f(x, /, y, *z, u, **v): return x, y, z, u, v, w", {"w"}),
    "a variable is the function's own": ("def f():\n    x = g()\n    return x.y, z", {"g", "z"}),
    "a variable counts as own before it is bound": ("def f():\n    print(x)\n    x = 1", {"print"}),
    "a loop variable": ("def f():\n    for x, (y, *z) in w: x, y, z", {"w"}),
    "a name that with, except, match or walrus binds": (
        """
        def f(t):
            with open(t) as a: a
            try: ...
            except E as b: b
            match t:
                case [c, 1] | {"k": c}: c
            return (d := 1), d
        """,
        {"open", "E"},
    ),
    "a global is not the function's own": ("def f():\n    global x\n    x = 1\n    return x", {"x"}),
    "a global that is only written": ("def f():\n    global x\n    x += 1", {"x"}),
    "an import is followed, also if it is bound again": (
        "def f():\n    from m import g\n    g = h(g)\n    return g",
        {"h", "g"},
    ),
    "a default is read outside": ("def f(x=x): return x", {"x"}),
    "a default by keyword": ("def f(*, y, x=x): return x", {"x"}),
    "a decorator is read outside": ("@g(x)\ndef f(x): return x", {"g", "x"}),
    "a lambda": ("lambda x, y=z: x + w", {"z", "w"}),
    "a lambda in a default": ("def f(x=lambda y: y + z): return x, y", {"z", "y"}),
    "a function inside sees the variables around": (
        "def f(x):\n    def g(): return x, y\n    return g",
        {"y"},
    ),
    "a function inside is a variable": (
        "def f():\n    def g(): ...\n    class H: ...\n    return g, H",
        set(),
    ),
    "a variable of a function inside is not one around": (
        "def f():\n    def g():\n        x = 1\n    return x",
        {"x"},
    ),
    "a name of a class is not seen by its methods": ("class A:\n    x = 1\n    def f(self): return x", {"x"}),
    "a field is not read": ("class A:\n    x: int = y", {"int", "y"}),
    "a base and a keyword of a class": ("class A(b.C, metaclass=D): ...", {"b.C", "D"}),
    "a comprehension's variable": ("[x + y for x in z if x]", {"y", "z"}),
    "where a comprehension starts is outside": ("[x for x in x]", {"x"}),
    "a comprehension in a comprehension": ("{a: b for a in c for b in a.d if e(b)}", {"c", "e"}),
    "a comprehension's variable ends with it": ("f([x for x in y], x)", {"f", "x", "y"}),
    "a place that a comprehension's variable is": ("[1 for a[x] in y if x]", {"a", "x", "y"}),
    "an attribute of a variable": ("def f(x): return x.y.z", set()),
    "a name in an f-string": ("f'{x!r:{y}}'", {"x", "y"}),
    "what is deleted": ("def f():\n    x = 1\n    del x", set()),
}


@pytest.mark.parametrize(("source", "expected"), READ.values(), ids=READ)
def test_a_tree_reads_from_outside(source: str, expected: set[str]) -> None:
    assert names_in(ast.parse(dedent(source))) == expected


def read_globally(table: symtable.SymbolTable) -> set[str]:
    """What Python's own symbol tables say that functions read from the module."""
    found = {s.get_name() for s in table.get_symbols() if table.get_type() == "function" and s.is_global()}
    return found.union(*(read_globally(child) for child in table.get_children()))


SOURCES = sorted((Path(__file__).parents[2] / "compute").rglob("*.py"))


def test_no_name_that_python_takes_from_the_module_is_missed() -> None:
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        read = {name.partition(".")[0] for name in names_in(ast.parse(source))}
        assert read_globally(symtable.symtable(source, path.name, "exec")) <= read, path.name


def test_no_function_is_said_to_read_more_than_python_says() -> None:
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        tables = symtable.symtable(source, path.name, "exec").get_children()
        allowed = {(table.get_name(), table.get_lineno()): read_globally(table) for table in tables}
        for node in Bare().visit(ast.parse(source)).body:
            if isinstance(node, ast.FunctionDef):
                lines = [item.lineno for item in (node, *node.decorator_list)]
                node.decorator_list, node.args.defaults = [], []
                node.args.kw_defaults = [None] * len(node.args.kwonlyargs)
                read = {name.partition(".")[0] for name in names_in(node)} - imported(node)
                says = next(allowed[node.name, line] for line in lines if (node.name, line) in allowed)
                assert read <= says, f"{path.name}: {node.name}"


def imported(node: ast.AST) -> set[str]:
    found = [item for item in ast.walk(node) if isinstance(item, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name.partition(".")[0] for item in found for alias in item.names}
