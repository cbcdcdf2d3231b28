from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from cells_for_tests import doubled
from engine_helpers import Package

from compute.engine.cell import Cell, cell
from compute.engine.code import Code
from compute.engine.files import Remembered
from compute.engine.syntax import modules as modules_module
from compute.engine.versions import version
from compute.errors import UsageError

SOURCES = {
    "cells": '''
        """Cells."""
        from __future__ import annotations

        from functools import partial

        from compute.engine.cell import cell

        import PACKAGE.dotted
        from PACKAGE import api
        from PACKAGE.first import start as begin
        from . import constants as c
        from .shapes import Shape

        def unrelated(x):
            return x

        @cell(plugins={"method": "PACKAGE.methods"}, label="{x}")
        def total(x: int, shape: Shape, method: str = "plus", inner=None) -> int:
            """Add up."""
            from .inner import late
            # all of it
            values = map(c.scaled, [x])
            parts = [begin(x), late(x), api.public(x), PACKAGE.dotted.reached(x), passed(by_value)]
            return sum([*values, *parts])

        def by_value(x):
            return x + 100

        def passed(function):
            return function(1)

        @cell(store=False)
        def inside(x):
            return deep(x)

        def deep(x):
            return x * 2
    ''',
    "first": "from .second import middle\ndef start(x):\n    return middle(x)\n",
    "second": "from .third import end\ndef middle(x, step=2):\n    return end(x, step)\n",
    "third": "LIMIT = 7\ndef end(x, step):\n    return min(x + step, LIMIT)\ndef alone():\n    return 0\n",
    "api.__init__": "from .implementation import other, public\n",
    "api.implementation": "def public(x):\n    return x * 2\ndef other(x):\n    return x * 3\n",
    "dotted": "def reached(x):\n    return x - 5\ndef missed(x):\n    return x\n",
    "constants": "FACTOR = 3\nUNUSED = 4\ndef scaled(x):\n    return x * FACTOR\n",
    "inner": "def late(x):\n    return x - 1\n",
    "decorators": """
        def twice(function):
            return lambda *a: 2 * function(*a)

        def thrice(function):
            return function
    """,
    "shapes": """
        from dataclasses import dataclass
        from .decorators import twice, thrice

        class Base:
            def name(self):
                return "base"

        @dataclass(frozen=True)
        class Shape(Base):
            side: int

            @twice
            def area(self):
                return self.side**2

        class Unused(Base):
            pass
    """,
    "methods.__init__": "",
    "methods.plus": "from ._shared import add\ndef plus(x, y):\n    return add(x, y)\n",
    "methods.minus": "def minus(x, y):\n    return x - y\n",
    "methods._shared": "def add(x, y):\n    return x + y\n",
}

COUNTS = {
    "the cell itself": ("cells", "begin(x),", "-begin(x),"),
    "a default of the cell": ("cells", 'method: str = "plus"', 'method: str = "minus"'),
    "a helper three modules away": ("third", "x + step", "x - step"),
    "a constant three modules away": ("third", "LIMIT = 7", "LIMIT = 8"),
    "a default two modules away": ("second", "step=2", "step=3"),
    "a method of an argument's class": ("shapes", "self.side**2", "self.side**3"),
    "a base of an argument's class": ("shapes", '"base"', '"other"'),
    "a decorator's body": ("decorators", "2 * function(*a)", "3 * function(*a)"),
    "another decorator": ("shapes", "@twice\n", "@thrice\n"),
    "a re-exported function": ("api.implementation", "return x * 2", "return x * 4"),
    "what is re-exported": ("api.__init__", "import other, public", "import other as public"),
    "a function by its dotted module": ("dotted", "x - 5", "x - 6"),
    "a constant in a renamed module": ("constants", "FACTOR = 3", "FACTOR = 5"),
    "what an import renames": ("cells", "import start as begin", "import begin"),
    "an import inside the function": ("inner", "x - 1", "x - 2"),
    "a helper passed as a value": ("cells", "x + 100", "x + 101"),
    "the plug-in that the call names": ("methods.plus", "add(x, y)", "add(y, x)"),
    "a helper of that plug-in": ("methods._shared", "x + y", "y + x"),
    "an input that is not kept": ("cells", "return deep(x)", "return deep(x) + 1"),
    "a helper of an input that is not kept": ("cells", "return x * 2", "return x * 5"),
    "something done at import": ("third", "LIMIT = 7", "LIMIT = 7\nprint(LIMIT)"),
}

DOES_NOT_COUNT = {
    "a comment": ("cells", "# all of it", "# of all of it"),
    "a docstring": ("cells", "Add up.", "Add everything up."),
    "a module's docstring": ("cells", '"""Cells."""', '"""The cells."""'),
    "formatting": ("third", "min(x + step, LIMIT)", "min(\n        (x + step),\n        LIMIT,\n    )"),
    "annotations": ("third", "def end(x, step):", "def end(x: int, step: float) -> float:"),
    "the order of definitions": (
        "third",
        "LIMIT = 7\ndef end(x, step):\n    return min(x + step, LIMIT)\n",
        "def end(x, step):\n    return min(x + step, LIMIT)\nLIMIT = 7\n",
    ),
    "an unrelated function beside the cell": ("cells", "def unrelated(x):\n    return x", "X = 1"),
    "an unrelated function beside a helper": ("third", "return 0", "return 1"),
    "an unrelated constant": ("constants", "UNUSED = 4", "UNUSED = 5"),
    "an unrelated class": ("shapes", "pass", "x = 1"),
    "an unused decorator": ("decorators", "return function\n", "return None\n"),
    "a re-exported function that is not used": ("api.implementation", "return x * 3", "return x * 9"),
    "another plug-in": ("methods.minus", "x - y", "y - x"),
    "the label": ("cells", 'label="{x}"', 'label="{method}"'),
}


@pytest.fixture
def total(package: Package) -> Cell:
    for module, source in SOURCES.items():
        package.write(module, source)
    cells, shapes = package.load(), package.load("shapes")
    found: Cell = cells.total(1, shapes.Shape(2), inner=[cells.inside(3)])
    return found


@pytest.mark.parametrize(("module", "old", "new"), COUNTS.values(), ids=COUNTS)
def test_a_change_that_can_reach_the_result_changes_the_fingerprint(
    package: Package, total: Cell, module: str, old: str, new: str
) -> None:
    before = Code().fingerprint(total)
    package.edit(module, old, new)
    assert Code().fingerprint(total) != before


@pytest.mark.parametrize(("module", "old", "new"), DOES_NOT_COUNT.values(), ids=DOES_NOT_COUNT)
def test_a_change_that_cannot_reach_the_result_leaves_the_fingerprint(
    package: Package, total: Cell, module: str, old: str, new: str
) -> None:
    before = Code().fingerprint(total)
    package.edit(module, old, new)
    assert Code().fingerprint(total) == before


def test_a_new_plugin_leaves_the_fingerprint(package: Package, total: Cell) -> None:
    before = Code().fingerprint(total)
    package.write("methods.times", "def times(x, y):\n    return x * y\n")
    assert Code().fingerprint(total) == before


def test_parts_name_each_definition_that_is_reached(package: Package, total: Cell) -> None:
    names = {name.removeprefix(f"{package.name}.") for name in Code().parts(total)}
    assert names == {
        *("cells:total", "cells:by_value", "cells:passed", "cells:inside", "cells:deep"),
        *("first:start", "second:middle", "third:end", "third:LIMIT"),
        *("api:public", "api.implementation:public", "dotted:reached", "inner:late"),
        *("constants:scaled", "constants:FACTOR", "shapes:Shape", "shapes:Base", "decorators:twice"),
        *("methods.plus:plus", "methods._shared:add"),
    }


def test_whatever_runs_is_among_the_parts(package: Package, total: Cell) -> None:
    parts, ran = Code().parts(total), set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith(package.name) and frame.f_code.co_name != "<module>":
            ran.add(f"{module}:{frame.f_code.co_qualname.partition('.')[0]}")

    sys.setprofile(note)
    try:
        arguments = dict(total.arguments)
        arguments["shape"].area()  # type: ignore[attr-defined]
        total.function.function(**arguments)
    finally:
        sys.setprofile(None)
    assert ran
    assert ran <= set(parts)


# -- single constructions: a module `cells` with `total`, and what may be edited beside it -------------------

CELL = "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return {}\n"

REACHES: dict[str, tuple[dict[str, str], tuple[str, str, str]]] = {
    "swapped names": (
        {
            "cells": "from .a import f as g, h as k\n" + CELL.format("g(x) - k(x)"),
            "a": "def f(x): ...\ndef h(x): ...\n",
        },
        ("cells", "f as g, h as k", "h as g, f as k"),
    ),
    "a library function under a name of our own": (
        {"cells": "from scipy.stats import spearmanr as correlation\n" + CELL.format("correlation(x)")},
        ("cells", "spearmanr", "pearsonr"),
    ),
    "a library function re-exported under a name of our own": (
        {"cells": "from .a import f\n" + CELL.format("f(x)"), "a": "from math import sin as f\n"},
        ("a", "sin", "cos"),
    ),
    "the fallback of an import": (
        {
            "cells": "try:\n    from .a import f\nexcept ImportError:\n    from .b import f\n" + CELL.format("f(x)"),
            "a": "def f(x):\n    return 1\n",
            "b": "def f(x):\n    return 2\n",
        },
        ("a", "return 1", "return 3"),
    ),
    "the condition of a definition": (
        {"cells": "FAST = True\nif FAST:\n    Y = 1\nelse:\n    Y = 2\n" + CELL.format("Y")},
        ("cells", "FAST = True", "FAST = False"),
    ),
    "a star import": (
        {
            "cells": "from .a import *\n" + CELL.format("f(x)"),
            "a": "from .b import *\n",
            "b": "def f(x):\n    return 1\n",
        },
        ("b", "return 1", "return 2"),
    ),
    "a table filled at import": (
        {
            "cells": "from .a import TABLE\n" + CELL.format("TABLE[x]"),
            "a": "def f(): return 1\nTABLE = {}\nTABLE.update(f=f)\n",
        },
        ("a", "return 1", "return 2"),
    ),
    "a table filled in a loop": (
        {
            "cells": "from .a import TABLE\n" + CELL.format("TABLE[x]"),
            "a": "TABLE = {}\nfor n in range(3):\n    TABLE[n] = n + 1\n",
        },
        ("a", "n + 1", "n + 2"),
    ),
    "a table filled by a decorator": (
        {
            "cells": "from .a import use\n" + CELL.format("use(x)"),
            "a": """
                ALL = {}

                def register(f):
                    ALL[f.__name__] = f

                def use(x):
                    return ALL[x]()

                @register
                def one():
                    return 1
            """,
        },
        ("a", "return 1", "return 2"),
    ),
    "a function looked up by name in a module": (
        {"cells": "from . import a\n" + CELL.format("getattr(a, x)()"), "a": "def one():\n    return 1\n"},
        ("a", "return 1", "return 2"),
    ),
    "a function looked up among the module's own": (
        {"cells": "def one():\n    return 1\n" + CELL.format("globals()[x]()")},
        ("cells", "return 1", "return 2"),
    ),
    "a name that a module makes in its own way": (
        {
            "cells": "from .a import made\n" + CELL.format("made(x)"),
            "a": "def __getattr__(name):\n    return 1\n",
        },
        ("a", "return 1", "return 2"),
    ),
    "a function replaced in another module": (
        {"cells": "from . import a\na.f = lambda x: 1\n" + CELL.format("a.f(x)"), "a": "def f(x): ...\n"},
        ("cells", "lambda x: 1", "lambda x: 2"),
    ),
    "imports in a circle": (
        {
            "cells": "from .a import f\n" + CELL.format("f(x)"),
            "a": "from . import b\ndef f(x):\n    return b.g(x)\n",
            "b": "from . import a\ndef g(x):\n    return a.h(x)\n",
        },
        ("b", "a.h(x)", "a.k(x)"),
    ),
    "names re-exported in a circle": (
        {
            "cells": "from .a import f\n" + CELL.format("f(x)"),
            "a": "from .b import f\n",
            "b": "from .a import f\nf = 1\n",
        },
        ("b", "f = 1", "f = 2"),
    ),
    "a module imported by its own package": (
        {
            "cells": "from .sub import a\n" + CELL.format("a.f(x)"),
            "sub.__init__": "from . import a\n",
            "sub.a": "def f(x):\n    return 1\n",
        },
        ("sub.a", "return 1", "return 2"),
    ),
    "a function with the name of its file, re-exported": (
        {
            "cells": "from .sub import f\n" + CELL.format("f(x)"),
            "sub.__init__": "from .f import f\n",
            "sub.f": "def f(x):\n    return 1\n",
        },
        ("sub.f", "return 1", "return 2"),
    ),
    "a package without __init__": (
        {"cells": "from .space import a\n" + CELL.format("a.f(x)"), "space.a": "def f(x):\n    return 1\n"},
        ("space.a", "return 1", "return 2"),
    ),
    "a class's method through an instance made elsewhere": (
        {
            "cells": "from .a import make\n" + CELL.format("make().go()"),
            "a": "from .b import Thing\ndef make():\n    return Thing()\n",
            "b": "class Thing:\n    def go(self):\n        return 1\n",
        },
        ("b", "return 1", "return 2"),
    ),
}


@pytest.mark.parametrize(("sources", "edit"), REACHES.values(), ids=REACHES)
def test_what_a_name_may_stand_for_is_followed(
    package: Package, sources: dict[str, str], edit: tuple[str, str, str]
) -> None:
    for module, source in sources.items():
        package.write(module, source)
    total = written(package, sources)
    before = Code().fingerprint(total)
    package.edit(*edit)
    assert Code().fingerprint(total) != before


def written(package: Package, sources: dict[str, str]) -> Cell:
    """A cell of the project's `total`, whose sources cannot all be imported."""
    package.write("stand_in", CELL.format("x"))
    function = package.load("stand_in").total.function
    function.__module__ = f"{package.name}.cells"
    found: Cell = cell()(function)(1)
    return found


def test_a_lookup_in_a_module_does_not_widen_to_other_modules(package: Package) -> None:
    package.write("cells", "from .a import f\n" + CELL.format("f(x)"))
    package.write("a", "def f(x):\n    return x\ndef g(x):\n    return x\n")
    total = written(package, {})
    assert set(Code().parts(total)) == {f"{package.name}.cells:total", f"{package.name}.a:f"}


def test_a_variable_is_not_taken_for_a_function_of_the_same_name(package: Package) -> None:
    package.write("cells", "def base(x):\n    return 1\n" + CELL.format("[base for base in x]"))
    assert set(Code().parts(written(package, {}))) == {f"{package.name}.cells:total"}


def test_a_lazily_imported_project_package_is_found_without_importing_it(package: Package) -> None:
    package.write(
        "cells",
        CELL.format("late()").replace("def total(x):", "def total(x):\n    from other_top import late"),
    )
    (package.folder / "other_top.py").write_text("def late():\n    return 1\n", encoding="utf-8")
    total = written(package, {})
    assert "other_top:late" in Code().parts(total)
    assert "other_top" not in sys.modules


def test_libraries_enter_by_version(package: Package) -> None:
    package.write("cells", CELL.format("x").replace("cell()", 'cell(libraries=("numpy", "no-such-library"))'))
    parts = Code().parts(package.load().total(1))
    assert parts["numpy"] == version("numpy")
    assert parts["no-such-library"] == "not installed"


def test_installed_packages_and_the_standard_library_are_not_followed(package: Package) -> None:
    package.write("cells", "import json\nimport numpy as np\n" + CELL.format("np.mean(json.loads(x))"))
    assert set(Code().parts(package.load().total(1))) == {f"{package.name}.cells:total"}


@pytest.mark.parametrize("method", [("plus", "minus"), ["minus", "plus"]])
def test_every_plugin_that_a_list_names_counts(package: Package, total: Cell, method: Any) -> None:
    both = total.function(**{**total.arguments, "method": method})
    assert {f"{package.name}.methods.minus:minus", f"{package.name}.methods.plus:plus"} <= set(Code().parts(both))


def test_all_plugins_count_where_another_cell_names_one(package: Package, total: Cell) -> None:
    unknown = total.function(**{**total.arguments, "method": doubled("plus", "log")})
    assert f"{package.name}.methods.minus:minus" in Code().parts(unknown)


def test_the_class_of_an_input_that_is_no_dataclass_counts(package: Package) -> None:
    package.write("cells", CELL.format("x.read()"))
    package.write(
        "inputs",
        """
            class Data:
                def identity(self, digest):
                    return 1

                def read(self):
                    return 2
        """,
    )
    total = package.load().total(package.load("inputs").Data())
    assert f"{package.name}.inputs:Data" in Code().parts(total)


def test_a_cell_whose_source_cannot_be_read_is_refused() -> None:
    space: dict[str, Any] = {"__name__": "nowhere"}
    exec("def made(x):\n    return x\n", space)
    with pytest.raises(UsageError, match="cell made: its source cannot be read"):
        Code().parts(cell()(space["made"])(1))


def test_a_syntax_error_names_file_and_line(package: Package) -> None:
    package.write("cells", "from .a import f\n" + CELL.format("f(x)"))
    package.write("a", "def f(x):\n    return (\n")
    with pytest.raises(UsageError, match=r"^a\.py, line 2: "):
        Code().parts(written(package, {}))


# -- what is remembered --------------------------------------------------------------------------------------


def test_remembered_sources_are_not_read_again_and_give_the_same(
    package: Package, total: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.age()
    remembered = Remembered(tmp_path / "code.json")
    expected = Code(remembered).parts(total)
    remembered.save()

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(modules_module, "summarise", never)
    assert Code(Remembered(tmp_path / "code.json")).parts(total) == expected


def test_an_edited_source_is_read_again(package: Package, total: Cell, tmp_path: Path) -> None:
    package.age()
    remembered = Remembered(tmp_path / "code.json")
    before = Code(remembered).fingerprint(total)
    remembered.save()
    package.edit("third", "LIMIT = 7", "LIMIT = 8")
    assert Code(Remembered(tmp_path / "code.json")).fingerprint(total) != before


def test_summaries_of_another_reader_are_not_taken_for_ours(
    package: Package, total: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.age()
    remembered = Remembered(tmp_path / "code.json")
    Code(remembered).parts(total)
    for entry in remembered.entries.values():
        entry[1] = "another form"
    monkeypatch.setattr(modules_module, "READER", "of the next version")
    assert Code(remembered).parts(total) == Code().parts(total)


def test_parts_are_hashes_and_versions_only(total: Cell) -> None:
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in Code().parts(total).values())
