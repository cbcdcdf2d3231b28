from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells_for_tests import (
    Box,
    Pair,
    Text,
    added,
    doubled,
    first_of,
    gathered,
    halved,
    length,
    number,
    seeded,
    summed,
    summed_inside,
)

from compute.engine.cell import Cell, cell, cells_in, reachable, replace_cells
from compute.engine.keys import derived_seed, key_of
from compute.engine.work import Task
from compute.errors import UsageError

LOG = "log"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1,), {}), ((1, LOG, 2), {}), ((1,), {"logg": LOG}), ((1, LOG), {"x": 2})],
    ids=["none", "too few", "too many", "misspelt", "twice"],
)
def test_wrong_arguments_fail_at_the_call_and_name_the_cell(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^cell number: "):
        number(*args, **kwargs)


def test_an_argument_without_a_stable_form_fails_at_the_call() -> None:
    with pytest.raises(UsageError, match=r"^number\.x: a path says nothing"):
        number(Path("data"), LOG)


def test_a_call_keeps_the_arguments_that_it_had() -> None:
    things: dict[str, Any] = {"inner": [1, ({"deep": 1},)]}
    described = gathered(things)
    things["inner"].append(2)
    things["inner"][1][0]["deep"] = 2
    assert described.arguments == {"things": {"inner": [1, ({"deep": 1},)]}}
    assert described == gathered({"inner": [1, ({"deep": 1},)]})


def starred(*xs: int) -> None: ...


def open_ended(**xs: int) -> None: ...


def nameless(x: int, /) -> None: ...


@pytest.mark.parametrize("function", [starred, open_ended, nameless])
def test_parameters_that_cannot_be_named_in_a_call_are_refused(function: Callable[..., None]) -> None:
    with pytest.raises(TypeError, match="must be one that can be named"):
        cell()(function)


@pytest.mark.parametrize("options", [{"lazy": ("y",)}, {"plugins": {"y": "a.b"}}, {"label": "{y.name}/{x}"}])
def test_options_that_speak_of_no_parameter_are_refused(options: dict[str, Any]) -> None:
    def function(x: int) -> None: ...

    with pytest.raises(TypeError, match="its options speak of 'y', which is no parameter"):
        cell(**options)(function)


A, B, C = number(1, LOG), number(2, LOG), number(3, LOG)


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        (A, [A]),
        ([A, [B], A], [A, B]),
        ((A, (B, 1)), [A, B]),
        ({"x": A, "y": {"z": B}}, [A, B]),
        (Box([A, {"b": B}]), [A, B]),
        (Pair(A, (Box(B), C)), [A, B, C]),
        ({"a", 1}, []),
    ],
    ids=["bare", "list", "tuple", "mapping", "dataclass", "named tuple", "set"],
)
def test_inputs_are_found_wherever_they_are_each_once_and_in_order(things: Any, expected: list[Cell]) -> None:
    assert list(gathered(things).inputs) == expected


def test_cells_in_a_set_are_refused_for_they_would_arrive_in_any_order() -> None:
    with pytest.raises(UsageError, match="pass them in a list"):
        _ = gathered({A, B}).inputs


@pytest.mark.parametrize("things", [A, [A, [B]], (A, 1), {"x": A}, Box([A]), Pair(A, Box(B)), Box(3), "a", {1}])
def test_replaced_cells_leave_everything_else_as_it_was(things: Any) -> None:
    class Value(int):
        """Stands for a cell's result."""

    replaced = replace_cells(things, lambda item: Value(item.arguments["x"]))
    assert type(replaced) is (type(things) if not isinstance(things, Cell) else Value)
    assert not list(cells_in(replaced))
    assert repr(replaced) == repr(things).replace(repr(A), "1").replace(repr(B), "2")


def test_inputs_that_are_not_kept_are_looked_through() -> None:
    inside = halved(A, LOG)
    deeper = halved(added(inside, B, LOG), LOG)
    assert added(inside, halved(A, LOG), LOG).stored_inputs == (A,)
    assert [item.name for item in doubled(deeper, LOG).stored_inputs] == [added(inside, B, LOG).name]
    assert doubled(inside, LOG).inline == (doubled(inside, LOG), inside)


def test_what_is_not_kept_cannot_be_wanted() -> None:
    with pytest.raises(UsageError, match="halved/1 is not kept"):
        reachable([halved(1, LOG)])


def test_a_name_shows_the_label_in_which_cells_show_their_own() -> None:
    assert added(A, doubled(B, LOG), LOG).name == "added/1+2"
    assert summed([A, 3], 1).name == "summed/[number/1, 3]"
    assert gathered([A]).name == "gathered"


def test_a_name_does_not_tell_where_an_input_lies(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert length(Text(tmp_path / "a")).name == "length/Text"


def test_two_functions_of_one_name_in_different_modules_are_refused() -> None:
    def function(x: object) -> None: ...

    function.__name__ = "gathered"
    impostor = cell()(function)
    one, other = gathered(1), Cell(impostor, {"things": 1})
    assert one.key == other.key
    with pytest.raises(UsageError, match="two cells are called gathered, in cells_for_tests and "):
        reachable([one, other])
    with pytest.raises(UsageError, match="two cells are called gathered"):
        _ = gathered([one, other]).inputs


def test_the_seed_of_a_call_is_its_own_and_derived() -> None:
    one, other = seeded(7, "a"), seeded(7, "b")
    assert one.seed == derived_seed(7, one.key)
    assert one.seed != other.seed
    assert seeded(8, "a").seed != one.seed
    assert A.seed is None


def test_a_cell_travels_to_another_process_and_is_the_same_there(tmp_path: Path) -> None:
    from joblib.externals.loky.backend import reduction

    (tmp_path / "a").write_text("text", encoding="utf-8")
    sent = added(Box([number(1, LOG), halved(2, LOG)]), length(Text(tmp_path / "a")), LOG)
    for packed in (pickle.dumps(sent), bytes(reduction.dumps(sent))):
        got = pickle.loads(packed)
        assert got == sent
        assert got.function is added
        assert (got.name, got.inputs, got.stored_inputs) == (sent.name, sent.inputs, sent.stored_inputs)


def test_a_key_travels_with_the_cell_for_the_file_that_it_was_taken_from_may_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text", encoding="utf-8")
    sent = length(Text(tmp_path / "a"))
    packed = pickle.dumps(sent)
    (tmp_path / "a").write_text("changed", encoding="utf-8")
    assert pickle.loads(packed).key == sent.key


def test_a_shipped_cell_leaves_behind_what_lies_behind_its_stored_inputs() -> None:
    sent = summed([summed_inside([gathered(number(1234, LOG))], 5), number(3, LOG)], 9)
    shipped = sent.shipped()
    assert (shipped.key, shipped.name) == (sent.key, sent.name)
    assert [item.name for item in shipped.inputs] == [item.name for item in sent.inputs]
    assert [item.key for item in shipped.stored_inputs] == [item.key for item in sent.stored_inputs]
    assert b"number/1234" in pickle.dumps(sent.inputs)
    assert b"1234" not in pickle.dumps(shipped)
    assert key_of(shipped.function.name, shipped.arguments) == sent.key


def test_a_chain_of_a_thousand_cells_can_be_described_planned_and_shipped(tmp_path: Path) -> None:
    link = summed([1], 1)
    for _ in range(1000):
        link = gathered(link)
    from compute.engine.record import Trace

    order = reachable([link])
    task = Task(link, Trace({}, {}), {}, tmp_path)
    assert [len(order), order[-1]] == [1001, link]
    assert len(pickle.dumps(task)) < 2000


def test_lazy_parameters_are_part_of_the_inputs_like_others() -> None:
    assert first_of({"a": A, "b": B}, "a").stored_inputs == (A, B)
