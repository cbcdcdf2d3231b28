"""What is reached by each construction of the language, what is not, and what widens and says so."""

from __future__ import annotations

import sys

import pytest
from engine_helpers import Package

from compute.engine.cell import Cell, cell
from compute.engine.code import Code
from compute.engine.files import Remembered

CELL = "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return {}\n"
F = "def f(x):\n    return 1\n"

READ = Remembered()
"""What was read of the tool's own modules; files as young as a test's are never remembered."""

Edit = tuple[str, str, str]
Case = tuple[dict[str, str], Edit]


def uses(expression: str, imports: str = "", **modules: str) -> dict[str, str]:
    """A module `cells` whose cell returns an expression, and the modules beside it."""
    return {"cells": f"{imports}\n{CELL.format(expression)}", **modules}


ONE_TWO = ("return 1", "return 2")

REACHES: dict[str, Case] = {
    "a package in a package": (
        uses("f(x)", "from .a.b.c import f", **{"a.__init__": "", "a.b.__init__": "", "a.b.c": F}),
        ("a.b.c", *ONE_TWO),
    ),
    "two packages up": (
        uses("g(x)", "from .a.b.c import g", **{"a.b.c": "from ...d import f as g\n", "d": F}),
        ("d", *ONE_TWO),
    ),
    "a dotted module under another name": (
        uses("k.f(x)", "import PACKAGE.a.b as k", **{"a.b": F}),
        ("a.b", *ONE_TWO),
    ),
    "a dotted module by its whole name, beside another": (
        uses("PACKAGE.a.b.f(x)", "import PACKAGE.a.b\nimport PACKAGE.c", **{"a.b": F, "c": "X = 1\n"}),
        ("a.b", *ONE_TWO),
    ),
    "a module that its package's __init__ re-exports": (
        uses("b.f(x)", "from .a import b", **{"a.__init__": "from . import b\n", "a.b": F}),
        ("a.b", *ONE_TWO),
    ),
    "the later of two star imports": (
        uses("f(x)", "from .a import *\nfrom .b import *", a="def f(x):\n    return 0\n", b=F),
        ("b", *ONE_TWO),
    ),
    "a star import of a package that re-exports": (
        uses("f(x)", "from .a import *", **{"a.__init__": "from .b import f\n", "a.b": F}),
        ("a.b", *ONE_TWO),
    ),
    "star imports in a circle": (
        uses("f(x)", "from .a import *", a="from .b import *\n", b=f"from .a import *\n{F}"),
        ("b", *ONE_TWO),
    ),
    "the other branch of an import under a condition": (
        uses(
            "f(x)",
            "import sys\nif sys.version_info < (3, 0):\n    from .a import f\nelse:\n    from .b import f",
            a=F,
            b=F,
        ),
        ("b", *ONE_TWO),
    ),
    "a partial": (
        uses("g()", "from functools import partial\nfrom .a import f\ng = partial(f, 1)", a=F),
        ("a", *ONE_TWO),
    ),
    "a table of functions": (
        uses("TABLE[x](x)", "from .a import TABLE", a='from .b import f\nTABLE = {"f": f}\n', b=F),
        ("b", *ONE_TWO),
    ),
    "a lambda as a constant": (uses("G(x)", "from .a import G", a="G = lambda x: x + 1\n"), ("a", "x + 1", "x + 2")),
    "an attribute of a class": (
        uses("K.limit", "from .a import K", a="class K:\n    limit = 1\n"),
        ("a", "= 1", "= 2"),
    ),
    "a function as an attribute of a class": (
        uses("K().go(x)", "from .a import K", a="from .b import f\nclass K:\n    go = staticmethod(f)\n", b=F),
        ("b", *ONE_TWO),
    ),
    "a method inherited through two modules": (
        uses(
            "K().go()",
            "from .a import K",
            a="from . import b\nclass K(b.B): ...\n",
            b="from .c import C\nclass B(C): ...\n",
            c="class C:\n    def go(self):\n        return 1\n",
        ),
        ("c", *ONE_TWO),
    ),
    "what super calls": (
        uses(
            "K().go()",
            "from .a import K",
            a="from .b import B\nclass K(B):\n    def go(self):\n        return super().go()\n",
            b="class B:\n    def go(self):\n        return 1\n",
        ),
        ("b", *ONE_TWO),
    ),
    "the factory of a field": (
        uses(
            "K().items",
            "from .a import K",
            a="from dataclasses import dataclass, field\nfrom .b import f\n"
            "@dataclass\nclass K:\n    items: list = field(default_factory=lambda: [f(1)])\n",
            b=F,
        ),
        ("b", *ONE_TWO),
    ),
    "what a decorator from another module is given": (
        uses(
            "f(x)",
            "from .a import f",
            a="from .b import times\nfrom .c import COUNT\n@times(COUNT)\ndef f(x): return x\n",
            b="def times(n):\n    return lambda f: lambda x: n * f(x)\n",
            c="COUNT = 1\n",
        ),
        ("c", "COUNT = 1", "COUNT = 2"),
    ),
    "an entry added to a table afterwards": (
        uses("T[x](1)", "from .a import T", a='from .b import f\nT = {}\nT["f"] = f\n', b=F),
        ("b", *ONE_TWO),
    ),
    "an entry added to another module's table": (
        uses(
            "T[x](1)",
            "from . import a\nfrom .t import T",
            a='from .t import T\nfrom .b import f\nT["f"] = f\n',
            b=F,
            t="T = {}\n",
        ),
        ("b", *ONE_TWO),
    ),
    "an attribute that another module sets": (
        uses("t.LIMIT", "from . import a, t", a="from . import t\nt.LIMIT = 1\n", t="LIMIT = 0\n"),
        ("a", "LIMIT = 1", "LIMIT = 2"),
    ),
    "a registration by a call": (
        uses("use(x)", "from .a import use", a="ALL = []\ndef use(x): return ALL[0](x)\n" + F + "ALL.append(f)\n"),
        ("a", *ONE_TWO),
    ),
    "a registration in a loop": (
        uses(
            "use(x)",
            "from .a import use",
            a=f"ALL = []\ndef use(x): return ALL[0](x)\n{F}for g in (f,):\n    ALL.append(g)\n",
        ),
        ("a", *ONE_TWO),
    ),
    "a registration whose result has a name": (
        uses(
            "use(x)",
            "from .a import use",
            a=f"ALL = []\ndef add(f): ALL.append(f)\ndef use(x): return ALL[0](x)\n{F}G = add(f)\n",
        ),
        ("a", *ONE_TWO),
    ),
    "a registration by another module's decorator": (
        uses(
            "use(x)",
            "from . import b\nfrom .a import use",
            a="ALL = []\ndef add(f): ALL.append(f)\ndef use(x): return ALL[0](x)\n",
            b=f"from .a import add\n@add\n{F}",
        ),
        ("b", *ONE_TWO),
    ),
    "a registration in a module that a package imports": (
        uses(
            "use(x)",
            "from .p.a import use",
            **{
                "p.__init__": "from . import b\n",
                "p.a": "ALL = []\ndef add(f): ALL.append(f)\ndef use(x): return ALL[0](x)\n",
                "p.b": f"from .a import add\n@add\n{F}",
            },
        ),
        ("p.b", *ONE_TWO),
    ),
    "a registration by an import inside the function that nothing reads": (
        {
            "cells": "from compute.engine.cell import cell\nfrom .a import use\n"
            "@cell()\ndef total(x):\n    from . import b\n"
            "    return use(x)\n",
            "a": "ALL = []\ndef add(f): ALL.append(f)\ndef use(x): return ALL[0](x)\n",
            "b": f"from .a import add\n@add\n{F}",
        },
        ("b", *ONE_TWO),
    ),
    "a class that its base hears of": (
        uses(
            "Base.known[0]().go()",
            "from . import b\nfrom .a import Base",
            a="class Base:\n    known = []\n    def __init_subclass__(cls): Base.known.append(cls)\n",
            b="from .a import Base\nclass K(Base):\n    def go(self):\n        return 1\n",
        ),
        ("b", *ONE_TWO),
    ),
    "a class that a metaclass of its base keeps": (
        uses(
            "KNOWN[1]().go()",
            "from . import b\nfrom .a import KNOWN",
            a="KNOWN = []\nclass Meta(type):\n    def __init__(cls, *a): KNOWN.append(cls)\n"
            "class Base(metaclass=Meta): ...\n",
            b="from .a import Base\nclass Middle(Base): ...\nclass K(Middle):\n    def go(self):\n        return 1\n",
        ),
        ("b", *ONE_TWO),
    ),
    "a metaclass": (
        uses(
            "K.go()",
            "from .a import K",
            a="from .b import Meta\nclass K(metaclass=Meta): ...\n",
            b="class Meta(type):\n    def go(cls):\n        return 1\n",
        ),
        ("b", *ONE_TWO),
    ),
    "a class that is asked for through its base": (
        uses(
            "Base.__subclasses__()",
            "from . import b\nfrom .a import Base",
            a="class Base: ...\n",
            b="from .a import Base\nclass K(Base):\n    def go(self):\n        return 1\n",
        ),
        ("b", *ONE_TWO),
    ),
    "done by importing a package around": (
        uses(
            "f(x)", "from .p.a import f", **{"p.__init__": "import decimal\ndecimal.getcontext().prec = 1\n", "p.a": F}
        ),
        ("p.__init__", "prec = 1", "prec = 2"),
    ),
    "done by a module that is imported but not read": (
        uses("x", "from . import a", a="import random\nrandom.seed(1)\n"),
        ("a", "seed(1)", "seed(2)"),
    ),
    "a pattern of match": (
        {
            "cells": "from compute.engine.cell import cell\nfrom .a import K\n@cell()\ndef total(x):\n    match x:\n"
            "        case K(y=1): return 1\n",
            "a": "class K:\n    y = 1\n",
        },
        ("a", "y = 1", "y = 2"),
    ),
    "a name that match captures in the module": (
        uses("N", "match (1, 2):\n    case [N, _]: ...\n"),
        ("cells", "(1, 2)", "(3, 2)"),
    ),
    "a name that := binds in the module": (uses("N", "if (N := 1): ...\n"), ("cells", "N := 1", "N := 2")),
    "a name that := binds in a comprehension": (uses("N", "A = [N := n for n in (1,)]\n"), ("cells", "(1,)", "(2,)")),
    "a name that a function makes global": (
        uses("MODE", "def choose():\n    global MODE\n    MODE = 1\nchoose()\n"),
        ("cells", "MODE = 1", "MODE = 2"),
    ),
    "a property": (
        uses(
            "K().go",
            "from .a import K",
            a="from .b import f\nclass K:\n    @property\n    def go(self): return f(1)\n",
            b=F,
        ),
        ("b", *ONE_TWO),
    ),
    "a classmethod": (
        uses(
            "K.go()",
            "from .a import K",
            a="from .b import f\nclass K:\n    @classmethod\n    def go(cls): return f(1)\n",
            b=F,
        ),
        ("b", *ONE_TWO),
    ),
    "an enumeration's method": (
        uses(
            "E.A.go()",
            "from .a import E",
            a="from enum import Enum\nclass E(Enum):\n    A = 1\n    def go(self):\n        return self\n",
        ),
        ("a", "A = 1", "A = 2"),
    ),
    "a default of a NamedTuple": (
        uses("P().x", "from .a import P", a="from typing import NamedTuple\nclass P(NamedTuple):\n    x: int = 1\n"),
        ("a", "= 1", "= 2"),
    ),
    "a module's own __getattr__ that imports below itself": (
        uses(
            "lazy.f(x)",
            "from . import lazy",
            **{
                "lazy.__init__": "import importlib\ndef __getattr__(name):\n"
                "    return importlib.import_module(f'.{name}', __name__).f\n",
                "lazy.f": F,
            },
        ),
        ("lazy.f", *ONE_TWO),
    ),
    "a module passed on": (uses("use(a, x)", "from . import a\ndef use(m, x): return m.f(x)", a=F), ("a", *ONE_TWO)),
    "a module under a name of its own": (uses("b.f(x)", "from . import a\nb = a", a=F), ("a", *ONE_TWO)),
    "a submodule looked up in a package": (
        uses("getattr(p, x).f(x)", "from . import p", **{"p.__init__": "from . import a\n", "p.a": F}),
        ("p.a", *ONE_TWO),
    ),
    "a function looked up among those re-exported twice": (
        uses(
            "getattr(p, x)(x)",
            "from . import p",
            **{"p.__init__": "from .a import f\n", "p.a": "from .b import f\n", "p.b": F},
        ),
        ("p.b", *ONE_TWO),
    ),
    "a name made by writing into globals()": (
        uses("made(x)", f"{F}globals()['made'] = f\n"),
        ("cells", *ONE_TWO),
    ),
    "eval under another name": (uses("run('f(1)')", f"from builtins import eval as run\n{F}"), ("cells", *ONE_TWO)),
    "a module by a constant name": (
        uses("import_module('PACKAGE.a').f(x)", "from importlib import import_module", a=F),
        ("a", *ONE_TWO),
    ),
    "a module by a name with a known beginning": (
        uses("il.import_module(f'PACKAGE.p.{x}').f(x)", "import importlib as il", **{"p.__init__": "", "p.q.a": F}),
        ("p.q.a", *ONE_TWO),
    ),
    "a module by a name that is worked out": (uses("__import__(x).f(x)", a=F), ("a", *ONE_TWO)),
    "an importing function that is passed on": (
        uses("[*map(import_module, x)]", "from importlib import import_module", a=F),
        ("a", *ONE_TWO),
    ),
    "an importing function that is re-exported": (
        uses("load(x)", "from .tools import load", tools="from importlib import import_module as load\n", a=F),
        ("a", *ONE_TWO),
    ),
    "a module among those that are loaded": (uses("sys.modules[x].f(x)", "import sys", a=F), ("a", *ONE_TWO)),
    "a plug-in of a package that is not declared": (
        uses("plugins.load('PACKAGE.p', x)(x)", "from compute import plugins", **{"p.__init__": "", "p.f": F}),
        ("p.f", *ONE_TWO),
    ),
    "a plug-in of a package that is worked out": (
        uses("load(x, x)(x)", "from compute.plugins import load", **{"p.__init__": "", "p.f": F}),
        ("p.f", *ONE_TWO),
    ),
}


def total(package: Package, sources: dict[str, str]) -> Cell:
    """Write the sources and return the cell of the project's `total`; they need not be fit to be imported."""
    for module, source in sources.items():
        package.write(module, source)
    package.write("stand_in", CELL.format("x"))
    function = package.load("stand_in").total.function
    function.__module__ = f"{package.name}.cells"
    package.path("stand_in").unlink()
    found: Cell = cell()(function)(1)
    return found


@pytest.mark.parametrize(("sources", "edit"), REACHES.values(), ids=REACHES)
def test_what_may_be_used_is_reached(package: Package, sources: dict[str, str], edit: Edit) -> None:
    found = total(package, sources)
    before = Code(READ).fingerprint(found)
    assert Code(READ).fingerprint(found) == before
    package.edit(*edit)
    assert Code(READ).fingerprint(found) != before


LEAVES: dict[str, Case] = {
    "what another function of a module does": (
        uses("a.f(x)", "from . import a", a=F + "def g(): return 3\n"),
        ("a", "3", "4"),
    ),
    "what is only registered by a library": (
        uses("a.f(x)", "from . import a", a=F + "from functools import cache\n@cache\ndef g(): return 3\n"),
        ("a", "3", "4"),
    ),
    "a class of a base that does not hear of it": (
        uses("a.f(x)", "from . import a", a=F + "from abc import ABC\nclass B(ABC): ...\nclass K(B):\n    y = 3\n"),
        ("a", "3", "4"),
    ),
    "a constant that is worked out": (
        uses("a.f(x)", "from . import a", a=F + "def g(x): return x\nUNUSED = g(3)\n"),
        ("a", "3", "4"),
    ),
    "a name looked up by a constant": (
        uses("getattr(a, 'f')(x)", "from . import a", a=F + "def g(): return 3\n"),
        ("a", "3", "4"),
    ),
    "a variable that is called as a module": (
        uses("[a.f for a in x]", "from . import a", a=F),
        ("a", *ONE_TWO),
    ),
    "what is imported by a name with another beginning": (
        uses("import_module(f'PACKAGE.p.a_{x}')", "from importlib import import_module", **{"p.a_f": F, "p.b_f": F}),
        ("p.b_f", *ONE_TWO),
    ),
    "a star import's name that the source does not take": (
        uses("f(x)", "from .a import *", a=F + "def g(): return 3\n"),
        ("a", "3", "4"),
    ),
    "what a type checker imports": (
        uses("x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import f", a=F),
        ("a", *ONE_TWO),
    ),
    "pass for a docstring": (uses("f()", "def f():\n    '''Do nothing.'''"), ("cells", "'''Do nothing.'''", "pass")),
}


@pytest.mark.parametrize(("sources", "edit"), LEAVES.values(), ids=LEAVES)
def test_what_cannot_be_used_is_not_reached(package: Package, sources: dict[str, str], edit: Edit) -> None:
    found = total(package, sources)
    before = Code(READ).fingerprint(found)
    package.edit(*edit)
    assert Code(READ).fingerprint(found) == before


WIDENS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": (uses("f(x)", "from .a import f", a=F), []),
    "a lookup by a computed name": (
        uses("getattr(a, x)", "from . import a", a=F),
        ["PACKAGE.cells:total uses PACKAGE.a as a value: the whole module PACKAGE.a counts"],
    ),
    "a lookup three modules away": (
        uses("g(x)", "from .b import g", b="from . import a\ndef g(x): return vars(a)[x]\n", a=F),
        ["PACKAGE.b:g uses PACKAGE.a as a value: the whole module PACKAGE.a counts"],
    ),
    "a name that the source does not show": (
        uses("a.made", "from . import a", a=F),
        [
            "PACKAGE.cells:total reads made of PACKAGE.a, whose source does not show it: "
            "the whole module PACKAGE.a counts"
        ],
    ),
    "a name that nothing gives a value": (
        uses("made(x)"),
        ["PACKAGE.cells:total reads made, which no source gives a value: the whole module PACKAGE.cells counts"],
    ),
    "eval": (uses("eval(x)"), ["PACKAGE.cells:total uses eval: the whole module PACKAGE.cells counts"]),
    "a constant name": (
        uses("import_module('.a', __package__)", "from importlib import import_module", a=F),
        ["PACKAGE.cells:total imports PACKAGE.a by name: the whole module PACKAGE.a counts"],
    ),
    "a beginning from a constant": (
        uses("import_module(HOME + '.' + x)", "from importlib import import_module\nHOME = 'PACKAGE.p'", **{"p.a": F}),
        ["PACKAGE.cells:total imports by a name that begins with PACKAGE.p.: every such module counts"],
    ),
    "a beginning by %": (
        uses("import_module('PACKAGE.p.%s' % x)", "from importlib import import_module"),
        ["PACKAGE.cells:total imports by a name that begins with PACKAGE.p.: every such module counts"],
    ),
    "a beginning by format": (
        uses("import_module('PACKAGE.p.{}'.format(x))", "from importlib import import_module"),
        ["PACKAGE.cells:total imports by a name that begins with PACKAGE.p.: every such module counts"],
    ),
    "a module of a library": (
        uses("import_module('json.' + x)", "from importlib import import_module"),
        ["PACKAGE.cells:total imports by a name that begins with json.: every such module counts"],
    ),
    "a computed name": (
        uses("import_module(x)", "from importlib import import_module"),
        ["PACKAGE.cells:total imports by a name that is worked out: every module of PACKAGE counts"],
    ),
    "a parameter that has the name of a constant": (
        {
            "cells": "from compute.engine.cell import cell\nfrom importlib import import_module\nHOME = 'json'\n"
            "def load(HOME): return import_module(HOME)\n@cell()\ndef total(x):\n    return load(x)\n"
        },
        ["PACKAGE.cells:load imports by a name that is worked out: every module of PACKAGE counts"],
    ),
    "a file": (
        uses("run_path(x)", "from runpy import run_path"),
        ["PACKAGE.cells:total imports by a name that is worked out: every module of PACKAGE counts"],
    ),
    "classes asked for": (
        uses("x.__subclasses__()"),
        ["PACKAGE.cells:total asks a class for those derived from it: every module of PACKAGE counts"],
    ),
    "plug-ins that are not declared": (
        uses("load('PACKAGE.p', x)", "from compute.plugins import load", **{"p.f": F}),
        [
            "PACKAGE.cells:total loads plug-ins of PACKAGE.p, which no parameter of the cell is declared to name: "
            "all of them count"
        ],
    ),
}


@pytest.mark.parametrize(("sources", "lines"), WIDENS.values(), ids=WIDENS)
def test_what_widens_is_said(package: Package, sources: dict[str, str], lines: list[str]) -> None:
    assert Code(READ).widened(total(package, sources)) == [line.replace("PACKAGE", package.name) for line in lines]


DECLARED = """
    from compute.engine.cell import cell
    from compute import plugins

    def choose(method):
        return plugins.load("PACKAGE.methods", method)

    @cell(plugins={"method": "PACKAGE.methods"})
    def total(x, method):
        return choose(method)(x)

    @cell(store=False, plugins={"method": "PACKAGE.methods"})
    def inside(x, method):
        return x

    @cell()
    def around(x):
        return choose("plus")(x)

    @cell()
    def name():
        return "plus"
"""


@pytest.fixture
def methods(package: Package) -> Package:
    package.write("cells", DECLARED)
    package.write("methods.__init__", "")
    package.write("methods.plus", "def plus(x): return x + 1\n")
    package.write("methods.minus", "def minus(x): return x - 1\n")
    package.write("methods._shared", "def shared(x): return x\n")
    return package


def chosen(package: Package, cell: Cell) -> set[str]:
    """The plug-ins among the parts of a cell."""
    names = {name.removeprefix(f"{package.name}.methods.") for name in Code(READ).parts(cell)}
    return {name.partition(":")[2] for name in names if name.partition(":")[0] in ("plus", "minus", "_shared")}


@pytest.mark.parametrize("method", ["plus", ["plus"], {"plus": 1}, {"first": "plus"}, (("plus", "other"),)])
def test_the_plugins_that_an_argument_names_count_wherever_in_it_they_stand(methods: Package, method: object) -> None:
    found = methods.load().total(1, method)
    assert chosen(methods, found) == {"plus"}
    assert Code(READ).widened(found) == []


def test_plugins_of_a_package_that_an_inlined_cell_declares_do_not_widen(methods: Package) -> None:
    cells = methods.load()
    assert chosen(methods, cells.around(cells.inside(1, "plus"))) == {"plus"}
    assert chosen(methods, cells.around(1)) == {"plus", "minus"}


def test_plugins_that_another_cell_names_all_count_and_that_is_said(methods: Package) -> None:
    cells = methods.load()
    found = cells.total(1, cells.name())
    assert chosen(methods, found) == {"plus", "minus"}
    assert Code(READ).widened(found) == [
        f"total: another cell says which method, so all plug-ins of {methods.name}.methods count"
    ]


def test_a_class_of_a_tuple_with_names_counts(package: Package) -> None:
    package.write("cells", CELL.format("x.sum()"))
    package.write(
        "pairs", "from typing import NamedTuple\nclass Pair(NamedTuple):\n    a: int\n    def sum(self): return 1\n"
    )
    found = package.load().total([package.load("pairs").Pair(1)])
    assert f"{package.name}.pairs:Pair" in Code(READ).parts(found)


@pytest.mark.parametrize("wraps", ["", "    @wraps(f)\n"], ids=["without the name", "with the name"])
def test_what_a_decorator_below_the_cells_wraps_counts(package: Package, wraps: str) -> None:
    package.write(
        "decorators",
        "from functools import wraps\ndef logged(f):\n"
        f"{wraps}    def inner(x):\n        return f(x)\n    return inner\n",
    )
    package.write("cells", "from .decorators import logged\n" + CELL.format("x + 1").replace("def", "@logged\ndef"))
    found = package.load().total(1)
    before = Code(READ).parts(found)
    assert {f"{package.name}.cells:total", f"{package.name}.decorators:logged"} <= set(before)
    package.edit("cells", "x + 1", "x + 2")
    assert Code(READ).parts(found) != before


def test_a_class_that_its_source_does_not_show_brings_its_module(package: Package) -> None:
    package.write("cells", CELL.format("x.sum()"))
    package.write("pairs", "from collections import namedtuple\nLIMIT = 1\nPair = namedtuple('Couple', 'a b')\n")
    found = package.load().total(package.load("pairs").Pair(1, 2))
    assert f"{package.name}.pairs:LIMIT" in Code(READ).parts(found)
    assert Code(READ).widened(found) == [
        f"{package.name}.pairs:Couple is not among what its source defines: "
        f"the whole module {package.name}.pairs counts"
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a later version's syntax")
def test_type_parameters_do_not_count(package: Package) -> None:
    found = total(package, uses("f(x)", F))
    before = Code(READ).fingerprint(found)
    package.edit("cells", "def f(x):", "def f[T: int](x: T) -> T:")
    assert Code(READ).fingerprint(found) == before
