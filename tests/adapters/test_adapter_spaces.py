"""Inner products of adapters: exact, blind to the factors in ΔW, matched by depth, and refused where senseless."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_adapters import deltas, drawn, family, normal, regauged, scaled

from compute.adapters.adapter import Adapter, Factors, Place
from compute.adapters.problem import Group, Space
from compute.adapters.spaces import from_tree, grams, groups, matched, problem, to_tree
from compute.errors import UsageError

Q, V = "self_attn.q_proj", "self_attn.v_proj"
SPACES = get_args(Space)


def one_module(factors: Factors, *, layer: int = 0) -> Adapter:
    return Adapter({f"model.layers.{layer}.{Q}": factors})


def lane(layers: list[int], kind: str = Q) -> list[Group]:
    return [Group(Place(layer, kind), "delta") for layer in layers]


def test_groups_are_sorted_by_layer_kind_and_part() -> None:
    found = groups(drawn(0, layers=11), "factor")
    assert list(found) == sorted(found)
    assert found[:3] == (Group(Place(0, Q), "A"), Group(Place(0, Q), "B"), Group(Place(0, V), "A"))
    assert found[-1] == Group(Place(10, V), "B")
    assert [group.part for group in groups(drawn(0, layers=1), "b")] == ["B", "B"]


def test_inner_products_of_factors_are_those_of_the_vectors() -> None:
    adapters = family(1, 4)
    found = grams(adapters, "factor")
    assert found.tasks == tuple(adapters)
    assert found.values.dtype == np.float64
    for group, gram in zip(found.groups, found.values, strict=True):
        factors = [adapter[group.place] for adapter in adapters.values()]
        rows = np.array([(one.a if group.part == "A" else one.b).ravel() for one in factors], np.float64)
        assert gram == pytest.approx(rows @ rows.T, rel=1e-12)


def test_b_leaves_a_out() -> None:
    adapters = family(1, 3)
    both, alone = grams(adapters, "factor"), grams(adapters, "b")
    kept = [number for number, group in enumerate(both.groups) if group.part == "B"]
    assert (alone.values == both.values[kept]).all()


@pytest.mark.parametrize("ranks", [(2, 2, 2), (1, 4, 2)])
def test_inner_products_of_deltas_are_those_of_the_whole_matrices(ranks: tuple[int, ...]) -> None:
    adapters = {f"{rank} {number}": drawn(number, rank=rank, scale=1 + number) for number, rank in enumerate(ranks)}
    found = grams(adapters, "delta")
    for group, gram in zip(found.groups, found.values, strict=True):
        rows = np.array([deltas(adapter)[group.place].ravel() for adapter in adapters.values()])
        assert gram == pytest.approx(rows @ rows.T, rel=1e-12)


def test_long_tensors_lose_no_digits() -> None:
    # The sum of many products that are nearly alike is where float32 loses what centring needs.
    rng = np.random.default_rng(0)
    start = normal(rng, 4, 3000)
    near = [Factors(start + 1e-3 * normal(rng, 4, 3000), normal(rng, 2, 4), 1.0) for _ in range(3)]
    found = grams({str(number): one_module(one) for number, one in enumerate(near)}, "factor").values[0]
    rows = np.array([one.a.ravel() for one in near], np.longdouble)
    assert found == pytest.approx((rows @ rows.T).astype(np.float64), rel=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_deltas_do_not_see_how_they_are_factored_and_factors_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    adapters = family(2, 3, layers=1)
    other = {name: regauged(one, rng) for name, one in adapters.items()}
    before, after = (grams(found, "delta").values for found in (adapters, other))
    assert after == pytest.approx(before, abs=1e-5 * np.abs(before).max())
    assert not np.allclose(grams(adapters, "factor").values, grams(other, "factor").values, rtol=1e-2)


@pytest.mark.parametrize("space", SPACES)
def test_a_scale_of_all_numbers_is_a_scale_of_inner_products(space: Space) -> None:
    adapters = family(3, 3, layers=1)
    power = 4 if space == "delta" else 2
    found = grams({name: scaled(one, 2) for name, one in adapters.items()}, space).values
    assert found == pytest.approx(2**power * grams(adapters, space).values)


def test_a_tree_gives_the_same_grams_back() -> None:
    found = grams(family(1, 3), "factor")
    again = from_tree(to_tree(found))
    assert (again.tasks, again.groups) == (found.tasks, found.groups)
    assert (again.values == found.values).all()


@pytest.mark.parametrize("space", ["factor", "b"])
@pytest.mark.parametrize(("other", "trait"), [(drawn(1, scale=1.0), "scale"), (drawn(1, rank=3), "rank")])
def test_factors_of_another_scale_or_rank_are_refused_and_delta_is_named(
    space: Space, other: Adapter, trait: str
) -> None:
    with pytest.raises(UsageError, match=rf"'here' and 'there' differ in {trait} at self_attn.q_proj.*\"delta\" can"):
        grams({"here": drawn(0), "there": other}, space)
    assert grams({"here": drawn(0), "there": other}, "delta").values.shape == (6, 2, 2)


def test_adapters_of_other_modules_or_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'here' adapts self_attn.q_proj of layer 2 and adapter 'there' does not"):
        grams({"here": drawn(0), "there": drawn(1, layers=2)}, "delta")
    small, large = Factors(np.ones((1, 4), np.float32), np.ones((3, 1), np.float32), 1.0), np.ones((1, 5), np.float32)
    with pytest.raises(UsageError, match=r"input size at self_attn.q_proj of layer 0, 4 and 5: are they of one model"):
        grams({"here": one_module(small), "there": one_module(Factors(large, small.b, 1.0))}, "delta")


def test_nothing_to_compare_is_refused() -> None:
    for adapters in ({}, {"empty": Adapter({})}):
        with pytest.raises(UsageError, match="at least one"):
            grams(adapters, "factor")


@pytest.mark.parametrize("space", SPACES)
def test_numbers_that_are_not_finite_are_refused_by_name(space: Space) -> None:
    adapters = family(1, 3)
    broken = adapters["task 1"].modules[f"model.layers.1.{V}"].b
    broken[0, 0] = np.nan
    with pytest.raises(UsageError, match="not finite: task 1;"):
        grams(adapters, space)


def test_layers_are_matched_by_depth_from_end_to_end() -> None:
    found = matched(lane(list(range(36))), lane(list(range(28))))
    assert found.tolist() == [round(layer * 35 / 27) for layer in range(28)]
    assert (found[0], found[-1]) == (0, 35)


def test_a_group_is_matched_by_one_of_its_kind_and_part_alone() -> None:
    x, y = groups(drawn(0, layers=5), "factor"), groups(drawn(1, layers=3), "factor")
    for place, group in zip(matched(x, y), y, strict=True):
        assert (x[place].place.kind, x[place].part) == (group.place.kind, group.part)
        assert x[place].place.layer == 2 * group.place.layer


def test_layers_that_are_not_adapted_are_passed_over() -> None:
    assert matched(lane([2, 4, 30]), lane([7, 9, 21])).tolist() == [0, 1, 2]
    assert matched(lane([0, 1, 2]), lane([5])).tolist() == [1]
    assert matched(lane([3]), lane([0, 1, 2])).tolist() == [0, 0, 0]


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_match_never_goes_back_and_is_the_same_from_either_end(ours: int, theirs: int) -> None:
    found = matched(lane(list(range(ours))), lane(list(range(theirs))))
    assert (np.diff(found) >= 0).all()
    assert theirs == 1 or (found[0], found[-1]) == (0, ours - 1)
    assert ours != theirs or theirs == 1 or found.tolist() == list(range(ours))
    assert np.abs(found + found[::-1] - (ours - 1)).max() <= 1


def test_a_kind_that_x_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"have no mlp.up_proj .* found self_attn.q_proj; adapt the same"):
        matched(lane([0, 1]), lane([0, 1], "mlp.up_proj"))


def test_a_problem_holds_the_anchors_in_their_order_and_the_task_apart() -> None:
    x, y = grams(family(1, 4, layers=4), "delta"), grams(family(2, 4), "delta")
    domains = {"task 0": "math", "task 1": "code", "task 2": "math", "task 3": "code"}
    found = problem(x, y, "task 1", ["task 3", "task 0"], domains, seed=5, truth=True)
    assert (found.anchors, found.domains, found.domain) == (("task 3", "task 0"), ("code", "math"), "code")
    assert (found.x == x.values[:, [3, 0]][:, :, [3, 0]]).all()
    assert (found.query == x.values[:, [3, 0], 1]).all()
    assert (found.norm == x.values[:, 1, 1]).all()
    assert (found.y == y.values[:, [3, 0]][:, :, [3, 0]]).all()
    assert found.truth is not None
    assert found.size is not None
    assert (found.truth == y.values[:, [3, 0], 1]).all()
    assert (found.size == y.values[:, 1, 1]).all()
    assert (found.seed, found.groups, found.match.tolist()) == (5, 6, [0, 1, 4, 5, 6, 7])


def test_without_truth_the_task_needs_no_adapter_on_y() -> None:
    adapters = family(1, 3)
    y = {name: adapters[name] for name in ("task 0", "task 1")}
    found = problem(grams(adapters, "b"), grams(y, "b"), "task 2", list(y), dict.fromkeys(adapters, "math"))
    assert (found.truth, found.size) == (None, None)


@pytest.mark.parametrize(
    ("task", "anchors", "truth", "why"),
    [
        ("task 0", [], False, "at least one other task, not by none"),
        ("task 0", ["task 0", "task 1"], False, "at least one other task, not by task 0, task 1"),
        ("task 9", ["task 0"], False, "no adapter of task 9 on model X"),
        ("task 0", ["task 2"], False, "no adapter of task 2 on model Y"),
        ("task 2", ["task 0"], True, "no adapter of task 2 on model Y"),
        ("task 0", ["task 1"], False, "the domain of task 1 is not known"),
    ],
)
def test_a_problem_that_cannot_be_posed_is_refused(task: str, anchors: list[str], truth: bool, why: str) -> None:
    x = family(1, 3)
    y = {name: x[name] for name in ("task 0", "task 1")}
    with pytest.raises(UsageError, match=why):
        problem(grams(x, "b"), grams(y, "b"), task, anchors, {"task 0": "math", "task 2": "math"}, truth=truth)
