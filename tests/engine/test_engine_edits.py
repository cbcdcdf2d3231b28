"""A project of several modules, edits of it, and exactly the cells that run again after each.

Every edit is built for real, with the project imported anew, and then undone: then nothing may run.
"""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from textwrap import dedent

import pytest
from engine_helpers import Diary, Package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.engine.build import Build
from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.executors import Serial
from compute.engine.files import Remembered
from compute.engine.plan import Planner
from compute.engine.store import Store

SOURCES = {
    "__init__": "",
    "cells": '''
        """The cells."""
        from __future__ import annotations

        from functools import partial

        import PACKAGE.deep.down.module as deep_module
        from compute import plugins
        from compute.engine.cell import cell

        from . import constants as c
        from . import tables
        from .api import public
        from .first import start as begin
        from .shapes import Shape
        from .stars import *

        def unrelated(x):
            return x

        @cell()
        def chain(x: int) -> int:
            """Go three modules far."""
            return begin(x)  # and back

        @cell()
        def scaled(x):
            return c.scaled(x)

        @cell()
        def area(shape: Shape, name="area"):
            return [name, shape.area(), shape.name(), Shape.unit().side]

        @cell(plugins={"method": "PACKAGE.methods"}, label="{method}")
        def merged(x, method):
            return plugins.load("PACKAGE.methods", method)(x, 10)

        @cell()
        def late(x):
            from .inner import late as later

            return later(x) + public(x)

        @cell()
        def looked_up(x):
            return tables.TABLE["double"](x) + tables.find("registered")(x) + tables.LAMBDA(x)

        @cell()
        def partly(x):
            return [partial(by_value, 1)(x), deep_module.deepest(x), starred(x)]

        def by_value(a, b):
            return a + b

        @cell(store=False)
        def inside(x):
            return inlined(x)

        def inlined(x):
            return x * 2

        @cell()
        def outer(x, inner):
            return x + inner

        @cell()
        def sign(x):
            return (x > 0) - (x < 0)

        @cell()
        def report(parts):
            return [parts, len(parts)]
    ''',
    "first": "from .second import middle\ndef start(x):\n    return middle(x)\n",
    "second": "from .third import end\ndef middle(x, step=2):\n    return end(x, step)\ndef other(x):\n    return x\n",
    "third": """
        # The end of the chain.
        LIMIT = 70

        def end(x, step):
            return min(x + step, LIMIT)

        def alone():
            return 0
    """,
    "constants": "FACTOR = 3\nUNUSED = 4\ndef scaled(x):\n    return x * FACTOR\n",
    "api.__init__": "from .implementation import other, public\n",
    "api.implementation": "def public(x):\n    return x * 2\ndef other(x):\n    return x * 3\n",
    "decorators": """
        COUNT = 2

        def times(count):
            def decorate(function):
                return lambda *a: count * function(*a)
            return decorate

        def unused(function):
            return function
    """,
    "bases": """
        class Base:
            suffix = "!"

            def name(self):
                return "base" + self.suffix

            @property
            def unused(self):
                return 1
    """,
    "shapes": '''
        from dataclasses import dataclass, field

        from . import bases
        from .decorators import COUNT, times, unused

        @dataclass(frozen=True)
        class Shape(bases.Base):
            """A square."""

            side: int
            tags: tuple = field(default_factory=lambda: tags())

            @times(COUNT)
            def area(self):
                return self.side**2

            @classmethod
            def unit(cls):
                return cls(1)

        def tags():
            return ("a", "b")

        class Unrelated(bases.Base):
            pass
    ''',
    "tables": """
        from . import registrations
        from .registry import REGISTERED

        def double(x):
            return 2 * x

        TABLE = {}
        TABLE["double"] = double
        LAMBDA = lambda x: x + 1

        def find(name):
            return REGISTERED[name]
    """,
    "registry": "REGISTERED = {}\ndef register(f):\n    REGISTERED[f.__name__] = f\n    return f\n",
    "registrations": "from .registry import register\n@register\ndef registered(x):\n    return x - 1\n",
    "inner": "def late(x):\n    return x - 1\n",
    "deep.__init__": "",
    "deep.down.__init__": "",
    "deep.down.module": "from ...third import LIMIT\ndef deepest(x):\n    return x - LIMIT if x > 1000 else x\n",
    "stars": "def starred(x):\n    match x:\n        case 0:\n            return 'none'\n    return 'some'\n",
    "methods.__init__": "",
    "methods.plus": "from ._shared import add\ndef plus(x, y):\n    return add(x, y)\n",
    "methods.minus": "def minus(x, y):\n    return x - y\n",
    "methods.other": "def other(x, y):\n    return y\n",
    "methods._shared": "def add(x, y):\n    return x + y\n",
}

EVERY = {
    *("chain", "scaled", "area", "merged/plus", "merged/minus", "late"),
    *("looked_up", "partly", "outer", "sign", "report"),
}

RERUN: dict[str, tuple[tuple[str, str, str], set[str]]] = {
    "a cell itself": (("cells", "return [parts, len(parts)]", "return [len(parts), parts]"), {"report"}),
    "a cell whose result stays": (("cells", "return (x > 0) - (x < 0)", "return (x > 0) - (0 > x)"), {"sign"}),
    "a cell whose result changes": (("cells", "(x > 0) - (x < 0)", "(x > 0) + 1"), {"sign", "report"}),
    "a default of a cell": (("cells", 'name="area"', 'name="square"'), {"area"}),
    "a helper three modules away": (("third", "x + step", "x + step + 1"), {"chain", "report"}),
    "the same, with the same result": (("third", "x + step", "step + x"), {"chain"}),
    "a constant three modules away": (("third", "LIMIT = 70", "LIMIT = 71"), {"chain", "partly"}),
    "a constant that cuts": (("third", "LIMIT = 70", "LIMIT = 1"), {"chain", "partly", "report"}),
    "a default two modules away": (("second", "step=2", "step=9"), {"chain", "report"}),
    "a helper on the way": (("first", "return middle(x)", "return middle(x, 5)"), {"chain", "report"}),
    "where a helper comes from": (("first", "import middle", "import other as middle"), {"chain", "report"}),
    "what a cell's import renames": (("cells", "import start as begin", "import middle as begin"), {"chain"}),
    "a constant in a renamed module": (("constants", "FACTOR = 3", "FACTOR = 5"), {"scaled"}),
    "a method": (("shapes", "self.side**2", "self.side**3"), {"area"}),
    "a classmethod": (("shapes", "return cls(1)", "return cls(2)"), {"area"}),
    "a field's default": (("shapes", "lambda: tags()", "lambda: tags()[:1]"), {"area"}),
    "what a field's factory calls": (("shapes", '("a", "b")', '("b", "a")'), {"area"}),
    "a base class's method": (("bases", '"base"', '"other"'), {"area"}),
    "a base class's attribute": (("bases", 'suffix = "!"', 'suffix = "?"'), {"area"}),
    "a base class": (("shapes", "class Shape(bases.Base)", "class Shape(bases.Base, object)"), {"area"}),
    "a decorator": (("decorators", "count * function(*a)", "count + function(*a)"), {"area"}),
    "what a decorator is given": (("decorators", "COUNT = 2", "COUNT = 3"), {"area"}),
    "another decorator": (("shapes", "@times(COUNT)", "@unused"), {"area"}),
    "a re-exported function": (("api.implementation", "return x * 2", "return x * 4"), {"late"}),
    "what is re-exported": (("api.__init__", "import other, public", "import other as public"), {"late"}),
    "a function imported inside a cell": (("inner", "x - 1", "x - 2"), {"late"}),
    "which function is imported inside a cell": (
        ("cells", "from .inner import late as later", "from .second import other as later"),
        {"late"},
    ),
    "the plug-in that a config names": (("methods.plus", "add(x, y)", "add(y, y)"), {"merged/plus", "report"}),
    "another plug-in that another config names": (("methods.minus", "x - y", "y - x"), {"merged/minus"}),
    "a helper of a plug-in": (("methods._shared", "return x + y", "return y + x"), {"merged/plus"}),
    "an entry of a table": (("tables", 'TABLE["double"] = double', 'TABLE["double"] = lambda x: x'), {"looked_up"}),
    "a function in a table": (("tables", "return 2 * x", "return 3 * x"), {"looked_up"}),
    "a lambda": (("tables", "x + 1", "x + 2"), {"looked_up"}),
    "a function that a decorator registers": (("registrations", "x - 1", "x - 2"), {"looked_up"}),
    "one more that it registers": (
        ("registrations", "@register\n", "@register\ndef more(x):\n    return x\n@register\n"),
        {"looked_up"},
    ),
    "a helper that is passed on": (("cells", "return a + b", "return a - b"), {"partly"}),
    "a module below packages": (("deep.down.module", "else x", "else x + 1"), {"partly"}),
    "what a package does when it is imported": (("deep.__init__", "", "import os\nos.getpid()\n"), EVERY),
    "what a star import brings": (("stars", "'some'", "'many'"), {"partly"}),
    "a pattern": (("stars", "case 0:", "case 1:"), {"partly"}),
    "an input that is not kept": (("cells", "return inlined(x)", "return inlined(x) + 1"), {"outer"}),
    "a helper of an input that is not kept": (("cells", "return x * 2", "return x * 5"), {"outer"}),
    "something done at import": (("constants", "FACTOR = 3", "FACTOR = 3\nprint(end='')"), EVERY),
}
"""Edit → the cells that run. What a module does when it is imported may matter to all cells that import it."""

NOTHING: dict[str, tuple[str, str, str]] = {
    "a comment": ("cells", "# and back", "# and forth"),
    "a new comment": ("third", "LIMIT = 70", "# The most.\nLIMIT = 70  # or so"),
    "a docstring": ("cells", "Go three modules far.", "Go far."),
    "a docstring gone": ("shapes", '"""A square."""', ""),
    "a module's docstring": ("cells", '"""The cells."""', '"""Cells."""'),
    "formatting": ("third", "min(x + step, LIMIT)", "min(\n        (x + step),\n        LIMIT,\n    )"),
    "blank lines": ("second", "def other", "\n\n\ndef other"),
    "annotations of a function": ("third", "def end(x, step):", "def end(x: int, step: float) -> int:"),
    "annotations of a cell": ("cells", "def chain(x: int) -> int:", "def chain(x):"),
    "an annotation of a constant": ("third", "LIMIT = 70", "LIMIT: int = 70"),
    "an annotation of a field": ("shapes", "side: int", "side: float"),
    "the order of definitions": (
        "constants",
        "FACTOR = 3\nUNUSED = 4\ndef scaled(x):\n    return x * FACTOR\n",
        "def scaled(x):\n    return x * FACTOR\nUNUSED = 4\nFACTOR = 3\n",
    ),
    "the order of imports": ("api.__init__", "other, public", "public, other"),
    "a number spelt otherwise": ("third", "LIMIT = 70", "LIMIT = 0x46"),
    "a string in other quotes": ("bases", '"base"', "'base'"),
    "an unrelated function": ("cells", "def unrelated(x):\n    return x", "def unrelated(x):\n    return x + 1"),
    "an unrelated function that is gone": ("third", "def alone():\n    return 0", ""),
    "a new function": ("third", "def alone", "def more():\n    return 1\n\ndef alone"),
    "a new constant": ("third", "LIMIT = 70", "LIMIT = 70\nLEAST = 1"),
    "an unrelated constant": ("constants", "UNUSED = 4", "UNUSED = 5"),
    "an unrelated class": ("shapes", "pass", "x = 1"),
    "an unused decorator": ("decorators", "return function\n", "return None\n"),
    "a re-exported function that is not used": ("api.implementation", "return x * 3", "return x * 9"),
    "another plug-in": ("methods.other", "return y", "return x"),
    "a library that is imported": ("third", "LIMIT = 70", "import json\nLIMIT = 70"),
    "an import for type checkers": (
        "third",
        "LIMIT = 70",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .constants import UNUSED\nLIMIT = 70",
    ),
    "a part for running a module as a script": (
        "third",
        "LIMIT = 70",
        'LIMIT = 70\nif __name__ == "__main__":\n    end(1, 2)',
    ),
    "a label": ("cells", 'label="{method}"', 'label="by {method}"'),
}

NEW = {
    "a new plug-in": ("methods.times", "def times(x, y):\n    return x * y\n"),
    "a new helper of plug-ins": ("methods._more", "def more(x):\n    return x\n"),
    "a new module": ("unrelated", "print('never imported')\n"),
    "a new package": ("more.__init__", "X = 1\n"),
}


@dataclass
class Project:
    """A package, a store, and builds of all its cells with the package imported anew."""

    package: Package
    store: Store
    read: Remembered

    def wanted(self) -> list[Cell]:
        for name in [name for name in sys.modules if name.partition(".")[0] == self.package.name]:
            del sys.modules[name]
        cells = self.package.load()
        shapes = self.package.load("shapes")
        parts = [cells.chain(3), cells.merged(1, "plus"), cells.sign(7)]
        return [
            *(cells.scaled(2), cells.area(shapes.Shape(2)), cells.merged(1, "minus"), cells.late(5)),
            *(cells.looked_up(4), cells.partly(6), cells.outer(1, cells.inside(8)), cells.report(parts)),
        ]

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells as they were first imported."""
        return self.wanted()

    def build(self) -> set[str]:
        """Build everything and return the names of the cells that ran."""
        diary = Diary()
        planner = Planner(self.store, Code(self.read))
        done = Build(planner.plan(self.wanted()), planner, Serial(), diary).run()
        assert done.whole, diary.failed_
        return set(diary.finished_)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("edits")
    made = Project(Package(folder / "sources"), Store(folder / "cache"), Remembered())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made.package.folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        for module, source in SOURCES.items():
            made.package.write(module, source)
        assert made.build() == EVERY
        assert made.build() == set()
        yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == made.package.name]:
        del sys.modules[name]


@pytest.fixture
def restored(project: Project) -> Iterator[Project]:
    """The project, whose sources are put back after the test; then every result is there as it was."""
    before = {path: path.read_bytes() for path in project.package.folder.rglob("*.py")}
    yield project
    for path in project.package.folder.rglob("*.py"):
        if path in before:
            path.write_bytes(before[path])
        else:
            path.unlink()
    assert project.build() == set()


@pytest.mark.parametrize(("edit", "expected"), RERUN.values(), ids=RERUN)
def test_exactly_the_cells_that_an_edit_can_reach_run_again(
    restored: Project, edit: tuple[str, str, str], expected: set[str]
) -> None:
    restored.package.edit(*edit)
    assert restored.build() == expected
    assert restored.build() == set()


@pytest.mark.parametrize("edit", NOTHING.values(), ids=NOTHING)
def test_nothing_runs_after_an_edit_that_reaches_no_result(restored: Project, edit: tuple[str, str, str]) -> None:
    restored.package.edit(*edit)
    assert restored.build() == set()


@pytest.mark.parametrize(("module", "source"), NEW.values(), ids=NEW)
def test_nothing_runs_for_what_is_new_and_not_used(restored: Project, module: str, source: str) -> None:
    restored.package.write(module, source)
    assert restored.build() == set()


# -- rewrites that change no meaning ---------------------------------------------------------------------------

DEFINITIONS = ast.FunctionDef | ast.ClassDef


def documented(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS) and ast.get_docstring(node) is None:
            node.body.insert(0, ast.Expr(ast.Constant("What it is for.")))


def annotated(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = ast.Constant("int")
            for item in node.args.args:
                item.annotation = ast.Name("int")


def idle(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            node.body.append(ast.Pass())


def shuffled(tree: ast.Module, chance: random.Random) -> None:
    """Put functions, classes and constants of the module in another order, but for names that are bound twice."""
    movable = {i: top(item) for i, item in enumerate(tree.body) if isinstance(item, DEFINITIONS | ast.Assign)}
    names = [name for found in movable.values() for name in found]
    places = [place for place, found in movable.items() if all(names.count(name) == 1 for name in found)]
    order = chance.sample(places, len(places))
    body = list(tree.body)
    for place, source in zip(places, order, strict=True):
        tree.body[place] = body[source]


def top(statement: ast.stmt) -> set[str]:
    if isinstance(statement, DEFINITIONS):
        return {statement.name}
    assert isinstance(statement, ast.Assign)
    return {node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def commented(source: str, chance: random.Random) -> str:
    lines: list[str] = []
    for line in source.splitlines():
        lines += ["# aside"] * (chance.random() < 0.3) + [""] * (chance.random() < 0.3)
        lines.append(f"{line}  # said" if chance.random() < 0.3 else line)
    return "\n".join(lines) + "\n"


def rewritten(source: str, chance: random.Random) -> str:
    """The same module in other words."""
    if chance.random() < 0.7:
        tree = ast.parse(source)
        for rewrite in (documented, annotated, idle):
            if chance.random() < 0.5:
                rewrite(tree)
        if chance.random() < 0.5:
            shuffled(tree, chance)
        source = ast.unparse(ast.fix_missing_locations(tree))
    return commented(source, chance) if chance.random() < 0.5 else source


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_rewrites_that_change_no_meaning_leave_every_fingerprint(restored: Project, seed: int) -> None:
    chance = random.Random(seed)
    before = {module: dedent(source).replace("PACKAGE", restored.package.name) for module, source in SOURCES.items()}
    for module, source in before.items():
        restored.package.path(module).write_text(source, encoding="utf-8")
    cells = restored.cells
    code = Code(restored.read)
    expected = [code.parts(cell) for cell in cells]
    for module, source in before.items():
        restored.package.path(module).write_text(rewritten(source, chance), encoding="utf-8")
    code = Code(restored.read)
    assert [code.parts(cell) for cell in cells] == expected
