"""Ridge regression by inner products: the weights and errors that plain computation on the vectors gives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute.adapters.problem import Problem
from compute.adapters.ridge import GRID, best_lambdas, leave_one_out, ridge_weights
from compute.adapters.similarity import cosines, nearest_anchors
from compute.errors import UsageError

Array = NDArray[np.float64]


def rows(seed: int, groups: int = 3, n: int = 7, entries: int = 5, offset: float = 1.0) -> Array:
    """Vectors [groups, n, entries] around a common one."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((groups, n, entries)) + offset * rng.standard_normal((groups, 1, entries))


def inner(x: Array, y: Array) -> Array:
    return x @ y.swapaxes(1, 2)


def posed(x: Array, query: Array, y: Array, names: list[str] | None = None) -> Problem:
    """A problem of anchors x and y [groups, n, entries] and a query [groups, entries]."""
    n = x.shape[1]
    names = names or [f"task {number}" for number in range(n)]
    by_query = inner(x, query[:, None])[..., 0]
    norms = (query**2).sum(axis=1)
    return Problem(tuple(names), ("math",) * n, "math", inner(x, x), by_query, norms, inner(y, y), np.arange(len(y)))


def solved(problem: Problem, relative_lambda: float) -> Array:
    return ridge_weights(problem, problem.x, problem.query, problem.y, relative_lambda)


def primal(x: Array, query: Array, y: Array, absolute: float) -> Array:
    """Ridge regression with an intercept, by the explicit formula for its coefficients."""
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    penalty = absolute * np.eye(x.shape[1])
    coefficients = np.linalg.solve(centred_x.T @ centred_x + penalty, centred_x.T @ centred_y)
    return y.mean(axis=0) + (query - x.mean(axis=0)) @ coefficients


def mean_eigenvalue(x: Array) -> float:
    return float(((x - x.mean(axis=0)) ** 2).sum() / len(x))


@pytest.mark.parametrize("relative_lambda", [1e-3, 0.01, 1.0, 50])
def test_weights_predict_what_ridge_regression_with_an_intercept_does(relative_lambda: float) -> None:
    x, y, query = rows(1), rows(2, entries=11), rows(3, n=1)[:, 0]
    weights = solved(posed(x, query, y), relative_lambda)
    for group in range(3):
        wanted = primal(x[group], query[group], y[group], relative_lambda * mean_eigenvalue(x[group]))
        assert weights[group] @ y[group] == pytest.approx(wanted)


def test_one_group_may_serve_all_of_y() -> None:
    x, y, query = rows(1, groups=1), rows(2, groups=4), rows(3, groups=1, n=1)[:, 0]
    problem = posed(np.repeat(x, 4, axis=0), np.repeat(query, 4, axis=0), y)
    weights = ridge_weights(problem, problem.x[:1], problem.query[:1], problem.y[:1], 0.1)
    assert weights.shape == (4, 7)
    assert weights == pytest.approx(solved(problem, 0.1))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e-9]))
@settings(max_examples=25)
def test_an_anchor_is_recovered_from_itself_as_lambda_vanishes(seed: int, relative_lambda: float) -> None:
    x = rows(seed, n=5, entries=30)
    weights = solved(posed(x, x[:, 2], rows(seed + 1, n=5)), relative_lambda)
    assert weights == pytest.approx(np.tile(np.eye(5)[2], (3, 1)), abs=1e-5)


def test_a_large_lambda_gives_the_mean() -> None:
    for large in (1e9, 1e308):
        assert solved(posed(rows(1), rows(2, n=1)[:, 0], rows(3)), large) == pytest.approx(np.full((3, 7), 1 / 7))


@pytest.mark.parametrize("relative_lambda", [0, 1e-300, 0.01])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e6])
def test_equal_anchors_get_the_mean_and_never_nan(n: int, relative_lambda: float, offset: float) -> None:
    same = np.full((3, n, 5), offset) * np.array([0.1, 1 / 3, 7])[:, None, None]
    weights = solved(posed(same, rows(2, n=1)[:, 0], rows(3, n=n)), relative_lambda)
    assert weights == pytest.approx(np.full((3, n), 1 / n))


@pytest.mark.parametrize("relative_lambda", [0, 1e-300, 0.01])
def test_some_equal_anchors_share_alike(relative_lambda: float) -> None:
    x, y = rows(1, n=4, entries=9), rows(2, n=4)
    twice = solved(posed(x[:, [0, 1, 2, 3, 3]], x[:, 3], y[:, [0, 1, 2, 3, 3]]), relative_lambda)
    assert twice[:, 3] == pytest.approx(twice[:, 4], abs=1e-5)
    assert twice.sum(axis=1) == pytest.approx(np.ones(3))


def test_two_anchors_are_the_ends_of_a_line() -> None:
    x = np.array([[[0.0, 0.0], [2.0, 0.0]]])
    weights = solved(posed(x, np.array([[0.5, 9.0]]), x), 1e-12)
    assert weights == pytest.approx(np.array([[0.75, 0.25]]))


def test_a_negative_lambda_is_refused() -> None:
    with pytest.raises(UsageError, match=r"above 0, or 0 to choose it by leaving one out, not -0\.1"):
        solved(posed(rows(1), rows(2, n=1)[:, 0], rows(3)), -0.1)


@pytest.mark.parametrize(("n", "entries"), [(7, 5), (4, 20), (2, 3)])
def test_leaving_one_out_in_closed_form_is_fitting_without_each(n: int, entries: int) -> None:
    x, y = rows(1, n=n, entries=entries), rows(2, n=n, entries=4)
    lambdas = np.array([1e-4, 0.1, 10])
    found = leave_one_out(inner(x, x), inner(y, y), lambdas)
    assert found.shape == (3, 3)
    for group in range(3):
        of_mean = sum(_left_out(x[group], y[group], each, 1e12) for each in range(n))
        for number, one in enumerate(lambdas):
            absolute = one * mean_eigenvalue(x[group])
            errors = sum(_left_out(x[group], y[group], each, absolute) for each in range(n))
            assert found[number, group] == pytest.approx(errors / of_mean)


def _left_out(x: Array, y: Array, each: int, absolute: float) -> float:
    rest = np.arange(len(x)) != each
    return float(((y[each] - primal(x[rest], x[each], y[rest], absolute)) ** 2).sum())


def test_zero_takes_the_lambda_with_the_least_error_of_leaving_one_out() -> None:
    x, query = rows(1, n=9), rows(3, n=1)[:, 0]
    related = x @ np.random.default_rng(4).standard_normal((5, 6))
    y = np.concatenate([related[:1], rows(5, n=9, entries=6)[1:]])
    problem = posed(x, query, y)
    chosen = best_lambdas(problem.x, problem.y)
    assert chosen[0] == pytest.approx(GRID.min())
    assert (chosen[1:] >= 1).all()
    found = solved(problem, 0)
    for group in range(3):
        assert found[group] == pytest.approx(solved(problem, chosen[group])[group])


def test_where_nothing_can_be_learned_leaving_one_out_costs_what_the_mean_costs() -> None:
    x, same = rows(1), np.ones((3, 7, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ours, theirs in ((x, same), (same, x), (same, same), (x[:, :1], x[:, :1])):
            found = leave_one_out(inner(ours, ours), inner(theirs, theirs), GRID)
            assert found == pytest.approx(np.ones((len(GRID), 3)))
    assert best_lambdas(inner(same, same), inner(x, x)) == pytest.approx(np.full(3, GRID.max()))


def test_nearness_is_the_cosine_of_all_tensors_as_one_vector() -> None:
    x, query = rows(1, offset=5), rows(2, n=1)[:, 0]
    long, ask = x.swapaxes(0, 1).reshape(7, -1), query.ravel()
    problem = posed(x, query, x)
    assert cosines(problem, False) == pytest.approx(_cosines(long, ask))
    assert cosines(problem, True) == pytest.approx(_cosines(long - long.mean(axis=0), ask - long.mean(axis=0)))


def _cosines(rows: Array, ask: Array) -> Array:
    return np.asarray(rows @ ask / np.linalg.norm(rows, axis=1) / np.linalg.norm(ask))


def test_what_is_common_to_all_anchors_hides_who_is_near_unless_it_is_taken_off() -> None:
    start, near, far = np.array([100.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
    anchors = np.array([[start + near, 1.02 * start + 2 * near, start + far, start - near]])
    problem = posed(anchors, start[None] + 3 * near, anchors)
    assert np.ptp(cosines(problem, False)) < 0.001
    assert nearest_anchors(problem, 2, True).tolist() == [0, 1]
    assert nearest_anchors(problem, 1, False).tolist() == [1]


def test_equally_near_anchors_come_by_name_and_all_come_if_k_is_larger() -> None:
    x = np.ones((1, 3, 4))
    problem = posed(x, x[:, 0], x, names=["c", "a", "b"])
    assert nearest_anchors(problem, 2, False).tolist() == [1, 2]
    assert nearest_anchors(problem, 99, True).tolist() == [1, 2, 0]


def test_an_adapter_that_is_zero_is_near_to_nothing() -> None:
    zero = posed(rows(1), np.zeros((3, 5)), rows(2))
    assert not cosines(zero, False).any()
    with pytest.raises(UsageError, match="must be at least 1, not 0"):
        nearest_anchors(zero, 0, False)
