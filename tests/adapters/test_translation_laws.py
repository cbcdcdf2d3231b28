"""Laws that hold for every method that weighs anchors, whoever wrote it: each is found by its file."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from made_adapters import drawn, family, posed, regauged, scaled
from numpy.typing import NDArray

from compute import plugins
from compute.adapters.adapter import Adapter
from compute.adapters.method import PACKAGE, bind_options, load_method, method_info, method_options
from compute.adapters.problem import Problem, Space

SPACES = get_args(Space)
METHODS = plugins.names(PACKAGE)
WEIGHING = [name for name in METHODS if method_info(name).gives == "weights"]
LEARNING = [name for name in WEIGHING if method_info(name).role == "translation"]
TRUTHFUL = {"pertensor_ridge", "global_ridge", "topk_pertensor_ridge", "topk_global_ridge"}
"""Methods that give an anchor back for itself, without regularisation."""

QUICK = {"steps": 20}
STEADY = {"noise": 0.0}
"""Options, of methods that have them: few steps of training, and nothing drawn in an anchor's place."""


def weights(name: str, problem: Problem, **wished: object) -> NDArray[np.float64]:
    has = method_options(name)
    wished = {option: value for option, value in (QUICK | wished).items() if option in has}
    found = load_method(name)(problem, **bind_options(name, wished))
    assert found.shape == (problem.groups, len(problem))
    assert found.dtype == np.float64
    return np.asarray(found)


def usual(space: Space = "delta") -> Problem:
    return posed(family(1, 8, layers=4), family(2, 8), space, seed=3)


def permuted(problem: Problem, order: NDArray[np.int64]) -> Problem:
    return problem.restricted(order)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is(name: str) -> None:
    info = method_info(name)
    assert (info.name, bool(info.title)) == (name, True)
    assert (load_method(name).__doc__ or "").strip()
    assert all(option.default is not None for option in method_options(name).values())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", WEIGHING)
def test_weights_sum_to_one_and_the_problem_stays_as_it_is(name: str, space: Space) -> None:
    problem = usual(space)
    before = [array.copy() for array in (problem.x, problem.query, problem.y)]
    assert weights(name, problem).sum(axis=1) == pytest.approx(np.ones(problem.groups))
    assert all((now == then).all() for now, then in zip((problem.x, problem.query, problem.y), before, strict=True))


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_go_with_the_anchors_in_whatever_order(name: str) -> None:
    problem, order = usual(), np.random.default_rng(0).permutation(7)
    found = weights(name, permuted(problem, order), **STEADY)
    assert found == pytest.approx(weights(name, problem, **STEADY)[:, order], abs=1e-4)


@pytest.mark.parametrize("name", WEIGHING)
def test_the_size_of_all_adapters_does_not_matter(name: str) -> None:
    x, y = family(1, 6), family(2, 6)
    larger, smaller = ({task: scaled(one, by) for task, one in some.items()} for some, by in ((x, 8), (y, 0.125)))
    found = weights(name, posed(larger, smaller, "delta"))
    assert found == pytest.approx(weights(name, posed(x, y, "delta")), abs=1e-4)


@pytest.mark.parametrize("name", WEIGHING)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert weights(name, usual()).tobytes() == weights(name, usual()).tobytes()


@pytest.mark.parametrize("name", WEIGHING)
def test_in_delta_the_factors_do_not_matter(name: str) -> None:
    rng = np.random.default_rng(0)
    x, y = family(1, 6), family(2, 6)
    other = [{task: regauged(one, rng) for task, one in some.items()} for some in (x, y)]
    assert weights(name, posed(*other, "delta")) == pytest.approx(weights(name, posed(x, y, "delta")), abs=1e-3)


@pytest.mark.parametrize("name", [name for name in WEIGHING if name != "nearest"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_equal_anchors_give_their_mean(name: str, count: int) -> None:
    start = drawn(7)
    same: dict[str, Adapter] = {f"task {number}": start for number in range(count)}
    found = weights(name, posed({**same, "asked": drawn(8)}, {**same, "asked": drawn(9)}, "delta"), k=count)
    if name == "domain_mean":
        assert found.sum(axis=1) == pytest.approx(np.ones(len(found)))
    else:
        assert found == pytest.approx(np.full(found.shape, 1 / count), abs=1e-6)


@pytest.mark.parametrize("name", WEIGHING)
def test_a_task_that_is_zero_on_x_is_no_error(name: str) -> None:
    x = family(1, 5)
    x["task 4"] = scaled(x["task 4"], 0)
    assert np.isfinite(weights(name, posed(x, family(2, 5), "factor"))).all()


@pytest.mark.parametrize("name", sorted(TRUTHFUL))
def test_an_anchor_asked_for_again_comes_back(name: str) -> None:
    x, y = family(1, 5), family(2, 5)
    x["again"], y["again"] = x["task 3"], y["task 3"]
    found = weights(name, posed(x, y, "factor"), relative_lambda=1e-10)
    assert found == pytest.approx(np.tile(np.eye(5)[3], (len(found), 1)), abs=1e-5)


@pytest.mark.parametrize("name", LEARNING)
def test_what_is_translated_decides(name: str) -> None:
    x, y = family(1, 8, layers=4), family(2, 8)
    other = {**x, "task 7": drawn(99, layers=4)}
    assert not np.allclose(weights(name, posed(x, y, "delta")), weights(name, posed(other, y, "delta")), atol=1e-3)


def test_the_nearest_anchors_alone_have_weight() -> None:
    for name in ("topk_global_ridge", "topk_pertensor_ridge"):
        found = weights(name, usual(), k=3)
        assert (found != 0).any(axis=0).sum() == 3
        assert weights(name, usual(), k=99) == pytest.approx(weights(name.removeprefix("topk_"), usual()))
    assert (np.sort(weights("nearest", usual())) == [0] * 6 + [1]).all()


def test_one_ridge_for_all_gives_all_groups_the_same_weights() -> None:
    found = weights("global_ridge", usual("factor"))
    assert (found == found[0]).all()
    assert not np.allclose(weights("pertensor_ridge", usual("factor")), found[0])


def test_the_mean_of_a_domain_is_of_its_anchors_and_of_all_if_there_are_none() -> None:
    problem = usual()
    assert problem.domains == ("math", "code", "math", "code", "math", "code", "math")
    assert weights("domain_mean", replace(problem, domain="math"))[0] == pytest.approx([0.25, 0] * 3 + [0.25])
    assert weights("domain_mean", replace(problem, domain="law"))[0] == pytest.approx([1 / 7] * 7)


@pytest.mark.parametrize("seed", range(10))
def test_wrong_pairs_are_the_right_weights_at_other_anchors(seed: int) -> None:
    problem = replace(usual(), seed=seed)
    right, wrong = weights("pertensor_ridge", problem), weights("permuted", problem)
    assert np.sort(wrong, axis=1) == pytest.approx(np.sort(right, axis=1))
    other = [int(np.abs(wrong[0] - own).argmin()) for own in right[0]]
    assert sorted(other) == list(range(7))
    assert all(place != number for number, place in enumerate(other))
    assert not np.allclose(wrong, weights("permuted", replace(problem, seed=seed + 100)))


def test_a_single_anchor_has_nothing_to_be_exchanged_with() -> None:
    assert weights("permuted", usual().restricted(np.array([2]))).tolist() == [[1.0]] * 6


def test_no_weights_of_sum_one_come_nearer_than_the_ceiling() -> None:
    problem = usual()
    best = _errors(problem, weights("span_ceiling", problem))
    for name in WEIGHING:
        assert (best <= _errors(problem, weights(name, problem)) + 1e-9).all()
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.standard_normal((6, 7))
        moved = weights("span_ceiling", problem) + 0.01 * (step - step.mean(axis=1, keepdims=True))
        assert (best <= _errors(problem, moved)).all()


def test_the_ceiling_reaches_what_is_in_the_span() -> None:
    problem = usual()
    wanted = np.array([0.5, -1, 0, 2, -0.25, 0, -0.25])
    problem = replace(problem, truth=problem.y @ wanted, size=np.einsum("i,gij,j->g", wanted, problem.y, wanted))
    assert weights("span_ceiling", problem) == pytest.approx(np.tile(wanted, (6, 1)))


def _errors(problem: Problem, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """‖y* − Σ c_i y_i‖² of each group."""
    assert problem.truth is not None
    assert problem.size is not None
    own = np.einsum("gi,gij,gj->g", weights, problem.y, weights)
    return np.asarray(problem.size - 2 * (weights * problem.truth).sum(axis=1) + own)
