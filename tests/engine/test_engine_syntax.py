from __future__ import annotations

from textwrap import dedent

import pytest

from compute.engine.syntax.summary import EFFECTS, Summary, summarise

BASE = '''
    """About this module."""
    from pkg.helpers import scale

    LIMIT = 3

    @wraps
    def step(x, by=1):
        """Take a step."""
        y = x + by
        return min(y, LIMIT)

    class Walk(Base):
        """Steps."""
        length: int = 2
        """How many."""

        def go(self, x):
            return step(scale(x), self.length)
'''

SAME = {
    "comment": ("y = x + by", "y = x + by  # one further"),
    "docstring changed": ("Take a step.", "Go one step."),
    "docstring gone": ('"""Take a step."""', ""),
    "class docstring": ("Steps.", "Many steps."),
    "attribute docstring": ("How many.", "The number."),
    "blank lines": ("y = x + by", "\n\n        y = x + by\n"),
    "spaces": ("min(y, LIMIT)", "min( y,LIMIT, )"),
    "parentheses": ("y = x + by", "y = (x + by)"),
    "number spelt otherwise": ("LIMIT = 3", "LIMIT = 0x3"),
    "annotated parameters": ("step(x, by=1)", "step(x: int, by: int = 1) -> int"),
    "annotated variable": ("y = x + by", "y: int = x + by"),
    "annotated constant": ("LIMIT = 3", "LIMIT: Final[int] = 3"),
    "declared variable": ("y = x + by", "y: int\n        y = x + by"),
    "annotated field": ("length: int = 2", "length: float = 2"),
    "line broken": ("return min(y, LIMIT)", "return min(\n            y,\n            LIMIT,\n        )"),
    "for type checkers": ("LIMIT = 3", "LIMIT = 3\n    if TYPE_CHECKING:\n        from other import Thing"),
    "as a script": ("LIMIT = 3", 'LIMIT = 3\n    if __name__ == "__main__":\n        step(1)'),
}

OTHER = {
    "operator": ("x + by", "x - by", {"step"}),
    "default": ("by=1", "by=2", {"step"}),
    "constant": ("LIMIT = 3", "LIMIT = 4", {"LIMIT"}),
    "type of constant": ("LIMIT = 3", "LIMIT = 3.0", {"LIMIT"}),
    "decorator": ("@wraps", "@wraps(True)", {"step"}),
    "decorator gone": ("@wraps", "", {"step"}),
    "field": ("length: int = 2", "length: int = 3", {"Walk"}),
    "field no more": ("length: int = 2", "length = 2", {"Walk"}),
    "base class": ("Walk(Base)", "Walk", {"Walk"}),
    "method": ("step(scale(x)", "step(x", {"Walk"}),
    "origin of an import": ("pkg.helpers", "pkg.others", {"Walk"}),
    "what an import renames": ("import scale", "import shrink as scale", {"Walk"}),
    "string that is no docstring": ("y = x + by", 'y = "x" + by', {"step"}),
    "async": ("def step", "async def step", {"step"}),
    "bound again": ("LIMIT = 3", "LIMIT = 3\n    LIMIT += 1", {"LIMIT"}),
    "done at import": ("LIMIT = 3", "LIMIT = 3\n    step(1)", {EFFECTS}),
    "done at import alone": ("LIMIT = 3", 'LIMIT = 3\n    if __name__ != "__main__":\n        step(1)', {EFFECTS}),
    "done beside defining names": ("LIMIT = 3", "LIMIT = 3\n    for i in range(3):\n        step(i)", {EFFECTS, "i"}),
}


def summary(source: str) -> Summary:
    return summarise(dedent(source), "pkg.module", package=False)


def hashes(source: str) -> dict[str, str]:
    return {name: found["hash"] for name, found in summary(source)["definitions"].items()}


def edited(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_cannot_change_a_result_leaves_every_hash(old: str, new: str) -> None:
    assert hashes(edited(old, new)) == hashes(BASE)


@pytest.mark.parametrize(("old", "new", "where"), OTHER.values(), ids=OTHER)
def test_what_can_change_a_result_changes_the_hash_of_its_definition_alone(old: str, new: str, where: set[str]) -> None:
    before, after = hashes(BASE), hashes(edited(old, new))
    assert {name for name in before | after if before.get(name) != after.get(name)} == where


def test_the_order_of_definitions_leaves_every_hash() -> None:
    one, other = "def f():\n    return g()\n", "def g():\n    return 1\n"
    assert hashes(one + other) == hashes(other + one)


def test_a_hash_never_changes_between_versions_of_python() -> None:
    source = "def f(x, *, y=(1, None)):\n    return f'{x!r:>{y}}' if x else [*y, {**x}, x[1:], lambda: ...]\n"
    assert hashes(source) == {"f": "043734ea151a7c9a644d6d7d25df01b5aaecf2214d6530d3560ba9ba82ae5280"}


def test_definitions_under_a_condition_depend_on_it_and_on_the_alternatives() -> None:
    source = """
        if FAST:
            def f(): return 1
        else:
            from slow import f
    """
    found = summary(source)
    assert "FAST" in found["definitions"]["f"]["names"]
    assert found["imports"]["f"] == ["slow:f"]
    assert hashes(source) != hashes(source.replace("FAST", "SLOW"))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b = 1", {"a", "b"}),
        ("(a, [b, *c]), d = f()", {"a", "b", "c", "d"}),
        ("a: int = 1", {"a"}),
        ("a: int", set()),
        ("a = {}\na['x'] = 1", {"a"}),
        ("for a in b:\n    c[a] = 1", {"a", "c"}),
        ("with f() as a:\n    b = 1", {"a", "b"}),
        (
            "try:\n    a = 1\nexcept E:\n    b = 1\nelse:\n    c = 1\nfinally:\n    d = 1",
            {"a", "b", "c", "d"},
        ),
        ("match x:\n    case 1:\n        a = 1", {"a"}),
        ("while x:\n    a = 1", {"a"}),
        ("try:\n    import a\nexcept ImportError:\n    import b as a", set()),
        ("f()", {EFFECTS}),
        ("del a", {EFFECTS}),
        ("'text'", set()),
    ],
)
def test_every_binding_at_the_top_level_is_a_definition(source: str, names: set[str]) -> None:
    assert set(summary(source)["definitions"]) == names


def test_what_a_decorator_of_the_module_registers_is_reached_by_importing() -> None:
    found = summary("def register(f):\n    ALL.append(f)\n\n@register\ndef a(): ...\n\n@cache\ndef b(): ...\n")
    assert found["definitions"][EFFECTS]["registered"] == {"a": [["register"], []]}


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import a.b", False, {"a": ["a"]}),
        ("import a.b as c", False, {"c": ["a.b"]}),
        ("from a.b import c as d", False, {"d": ["a.b:c"]}),
        ("from . import c", False, {"c": ["pkg.sub:c"]}),
        ("from .c import d", False, {"d": ["pkg.sub.c:d"]}),
        ("from .c import d", True, {"d": ["pkg.sub.module.c:d"]}),
        ("from ..c import d", False, {"d": ["pkg.c:d"]}),
        ("from .. import c", True, {"c": ["pkg.sub:c"]}),
        ("try:\n    from a import c\nexcept ImportError:\n    from b import c", False, {"c": ["a:c", "b:c"]}),
        ("if TYPE_CHECKING:\n    from a import c", False, {}),
    ],
)
def test_imports_are_resolved_from_where_they_stand(source: str, package: bool, expected: dict[str, list[str]]) -> None:
    assert summarise(source, "pkg.sub.module", package=package)["imports"] == expected


def test_imports_inside_a_function_are_its_own() -> None:
    found = summary("def f():\n    from .late import g\n    return g()\n")
    assert found["imports"] == {}
    assert found["definitions"]["f"]["imports"] == {"g": ["pkg.late:g"]}


def test_star_imports_are_listed() -> None:
    assert summary("from .a import *\n")["stars"] == ["pkg.a"]


def test_a_source_in_another_encoding_is_read_as_python_reads_it() -> None:
    source = "# -*- coding: latin-1 -*-\nX = 'ñ'\n".encode("latin-1")
    plain = "X = 'ñ'\n"
    found = [summarise(text, "m", package=False)["definitions"]["X"]["hash"] for text in (source, plain)]
    assert found[0] == found[1]
