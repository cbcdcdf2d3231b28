from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.engine.upkeep.deltas import Delta, deltas

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(values)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert deltas(value, value) == []


@given(values, values)
def test_differences_are_the_same_both_ways(one: Any, other: Any) -> None:
    there, back = deltas(one, other), deltas(other, one)
    assert {item.where for item in there} == {item.where for item in back}
    assert sorted(item.rank for item in there) == sorted(item.rank for item in back)


@given(st.dictionaries(st.text(), st.floats(-1e6, 1e6), min_size=1), st.floats(0.1, 10))
def test_numbers_are_told_by_place_and_size(numbers: dict[str, float], step: float) -> None:
    changed = {name: number + step for name, number in numbers.items()}
    found = deltas(numbers, changed)
    assert {item.where for item in found} == set(numbers)
    assert all(item.largest == pytest.approx(step, abs=1e-6) for item in found)


def test_the_largest_difference_comes_first_and_what_is_no_number_before_it() -> None:
    old = {"a": {"b": 1.0, "c": 5}, "kind": "x", "left": 1}
    new = {"a": {"b": 1.5, "c": 9}, "kind": "y", "right": 2}
    assert deltas(old, new) == [
        Delta("kind", "value", "x", "y"),
        Delta("left", "gone", 1, None),
        Delta("right", "new", None, 2),
        Delta("a.c", "number", 5, 9, 4),
        Delta("a.b", "number", 1.0, 1.5, 0.5),
    ]


def test_lists_of_numbers_are_told_in_sum() -> None:
    assert deltas([1.0, 2.0, 3.0], [1.0, 2.5, 2.5]) == [Delta("", "array", 2.0, 2.0, 0.5, differ=2, of=3)]
    assert deltas([{"x": 1}], [{"x": 1}, {"x": 2}]) == [Delta("", "rows", 1, 2)]
    assert deltas([{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 4}]) == [Delta("[1].x", "number", 2, 4, 2)]


def test_kinds_that_differ_are_no_numbers() -> None:
    assert deltas(True, 1) == [Delta("", "value", True, 1)]
    assert deltas(1, None) == [Delta("", "value", 1, None)]
    assert deltas("x" * 300, [1]) == [Delta("", "value", f"{'x' * 200} … 300 characters in all", "a list of 1")]


def test_not_a_number_differs_from_numbers_alone() -> None:
    assert deltas(math.nan, math.nan) == []
    assert deltas([1.0, math.nan], [1.0, math.nan]) == []
    assert deltas(math.nan, 1.0)[0].rank == math.inf


@pytest.mark.parametrize("made", [np.array, torch.tensor])
def test_arrays_are_told_by_their_largest_difference(made: Any) -> None:
    found = deltas({"w": made([1.0, 2.0, math.nan])}, {"w": made([1.0, 2.25, math.nan])})
    assert [(item.where, item.kind, item.largest, item.differ, item.of) for item in found] == [
        ("w", "array", 0.25, 1, 3)
    ]
    assert deltas(made([1.0, math.nan]), made([1.0, math.nan])) == []
    assert deltas(made([1, 2]), made([1, 2, 3]))[0].kind == "shape"
    assert deltas(made([]), made([])) == []


def test_frames_are_told_by_columns() -> None:
    old = pd.DataFrame({"x": [1.0, 2.0], "name": ["a", "b"], "left": [0, 0], "flag": [True, False]})
    new = pd.DataFrame({"x": [1.0, 3.0], "name": ["a", "c"], "flag": [True, False]})
    assert deltas(old, new) == [
        Delta("name", "value", "1 of 2 values differ", None),
        Delta("left", "gone", "a column", None),
        Delta("x", "column", 1.5, 2.0, 1.0, differ=1, of=2),
    ]
    assert deltas(old, old.copy()) == []


def test_missing_values_of_a_column_are_alike() -> None:
    old = pd.DataFrame({"n": pd.array([1, None, 3], dtype="Int64"), "t": pd.to_datetime(["2026-01-01", None, None])})
    new = pd.DataFrame({"n": pd.array([1, None, 4], dtype="Int64"), "t": pd.to_datetime(["2026-01-01", None, None])})
    assert deltas(old, old.copy()) == []
    assert [(item.where, item.old) for item in deltas(old, new)] == [("n", "1 of 3 values differ")]


def test_frames_of_other_lengths_are_told_by_rows_and_means() -> None:
    old, new = pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [1.0, 2.0, 6.0]})
    assert deltas(old, new) == [Delta("", "rows", 2, 3), Delta("x", "column", 1.5, 3.0, 1.5)]


def test_folders_are_told_by_their_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "same").write_text("1")
        (folder / "unlike").write_text(folder.name)
    (other / "more").write_text("")
    found = deltas({"model": one}, {"model": other})
    assert found == [Delta("model", "files", "2 of 3 files differ", "more, unlike")]
