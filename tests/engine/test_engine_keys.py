from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells_for_tests import Box, added, doubled
from hypothesis import given
from hypothesis import strategies as st

from compute.engine.cell import cell
from compute.engine.keys import canonical, derived_seed, dumps, key_of
from compute.errors import UsageError


@dataclass(frozen=True)
class Setting:
    name: str
    share: float = 0.5


class Number(enum.IntEnum):
    ONE = 1


MIXED = {
    "none": None,
    "yes": True,
    "count": 3,
    "share": 0.1,
    "text": "ñ\u2028",
    "list": [1, 2.0],
    "tuple": ("a",),
    "set": {"b", "a"},
    "mapping": {"b": 1, "a": None},
    "setting": Setting("x"),
}
MIXED_KEY = "850ccf9ab8589d3c7d8e87f669a9c3ac39a7204fedfec72ddba8ec64b0d983bc"


def test_the_key_of_a_call_never_changes_between_versions() -> None:
    assert key_of("train", MIXED) == MIXED_KEY


def test_the_canonical_form_is_tagged_and_sorted() -> None:
    expected = (
        '["mapping",["count",3],["list",["list",1,["float","0x1.0000000000000p+1"]]],'
        '["setting",["object","Setting",["name","x"],["share",["float","0x1.0000000000000p-1"]]]],'
        '["text","\\u00f1"]]'
    )
    value = {"text": "ñ", "list": [1, 2.0], "count": 3, "setting": Setting("x")}
    assert dumps(canonical(value)) == expected


def test_the_derived_seed_never_changes_between_versions() -> None:
    assert derived_seed(7, "0" * 64) == 2258746472100059882


def test_values_that_python_takes_for_equal_but_that_differ_have_different_keys() -> None:
    values = [
        1,
        1.0,
        "1",
        True,
        None,
        "None",
        (1,),
        [1],
        {1},
        {"1": 1},
        {"1": True},
        [[1]],
        -1,
        0.0,
        -0.0,
        "",
    ]
    keys = {key_of("f", {"x": value}) for value in values}
    assert len(keys) == len(values)


def test_a_list_that_looks_like_a_canonical_form_is_not_taken_for_one() -> None:
    assert canonical(["float", "0x1.0p+0"]) != canonical(1.0)
    assert canonical(["mapping", ["a", 1]]) != canonical({"a": 1})


def test_the_order_of_a_mapping_does_not_matter() -> None:
    assert key_of("f", {"a": 1, "b": {"c": 1, "d": 2}}) == key_of("f", {"b": {"d": 2, "c": 1}, "a": 1})


def test_a_changed_default_changes_the_key_and_a_spelt_out_default_does_not() -> None:
    def before(x: int, share: float = 0.5) -> None: ...

    def after(x: int, share: float = 0.6) -> None: ...

    after.__name__ = "before"
    old, new = cell()(before), cell()(after)
    assert old(1).key != new(1).key
    assert old(1).key == old(x=1, share=0.5).key


def test_a_numpy_float_is_the_float_that_it_equals() -> None:
    assert canonical(np.float64(0.1)) == canonical(0.1)


def test_a_cell_among_the_arguments_enters_by_its_key(tmp_path: Path) -> None:
    inner = doubled(1, "log")
    assert canonical([inner]) == ["list", ["cell", inner.key]]
    assert added(inner, 1, "log").key != added(doubled(2, "log"), 1, "log").key


REFUSED: list[Any] = [
    float("nan"),
    Path("data"),
    len,
    lambda: 0,
    functools.partial(len),
    np.zeros(2),
    np.int64(3),
    Number.ONE,
    b"bytes",
    1j,
    object(),
    {1: "one"},
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "wrapped",
    [lambda value: value, lambda value: [0, value], lambda value: {"a": value}, Setting, Box],
    ids=["bare", "list", "mapping", "dataclass", "box"],
)
def test_what_has_no_stable_form_is_refused_with_its_place(value: object, wrapped: Callable[[object], object]) -> None:
    places = {"list": "train.x[1]", "dict": "train.x.a", "Setting": "train.x.name", "Box": "train.x.content"}
    argument = wrapped(value)
    place = places.get(type(argument).__name__, "train.x") if argument is not value else "train.x"
    with pytest.raises(UsageError, match=rf"^{place.replace('[', '.').replace(']', '.')}:"):
        key_of("train", {"x": argument})


def plain() -> st.SearchStrategy[Any]:
    """Values of every kind that has a key."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(st.text(), inner, max_size=4)
            | st.builds(Setting, st.text(), inner)
            | st.frozensets(leaves, max_size=3)
        ),
        max_leaves=12,
    )


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal with their types, worked out apart from `canonical`."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, Setting):
        return same([a.name, a.share], [b.name, b.share])
    return bool(a == b)


def rebuilt(value: Any) -> Any:
    """An equal value that shares nothing with the first, with its mappings the other way round."""
    if isinstance(value, list | tuple):
        return type(value)(rebuilt(item) for item in value)
    if isinstance(value, dict):
        return {name: rebuilt(value[name]) for name in reversed(value)}
    if isinstance(value, frozenset):
        return frozenset(sorted(value, key=repr, reverse=True))
    if isinstance(value, Setting):
        return Setting(value.name, rebuilt(value.share))
    return value


@given(plain())
def test_equal_values_have_equal_keys(value: Any) -> None:
    assert same(rebuilt(value), value)
    assert key_of("f", {"x": rebuilt(value)}) == key_of("f", {"x": value})


@given(plain(), plain())
def test_different_values_have_different_keys(a: Any, b: Any) -> None:
    assert (key_of("f", {"x": a}) == key_of("f", {"x": b})) == same(a, b)


@given(plain(), st.data())
def test_a_change_anywhere_changes_the_key(value: Any, data: st.DataObject) -> None:
    changed = mutated(value, data)
    assert (key_of("f", {"x": changed}) == key_of("f", {"x": value})) == same(changed, value)


def mutated(value: Any, data: st.DataObject) -> Any:
    """The value with one leaf, or one whole part, replaced."""
    if isinstance(value, list | tuple) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        items = [*value[:at], mutated(value[at], data), *value[at + 1 :]]
        return type(value)(items)
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: mutated(value[name], data)}
    return data.draw(st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, "", "1", (), [], {}]))


def test_keys_do_not_depend_on_the_hash_seed(in_another_process: Callable[..., str]) -> None:
    source = """
        from test_engine_keys import MIXED
        from compute.engine.keys import key_of
        print(key_of("train", MIXED))
    """
    assert {in_another_process(source, PYTHONHASHSEED=seed) for seed in ("1", "2")} == {MIXED_KEY}
