"""Coefficient rules: each by an example, and all by their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute import plugins
from compute.merging.coefficients.similarity import similarity as by_similarity
from compute.merging.coefficients.sinkhorn import sinkhorn
from compute.merging.coefficients.uniform import uniform
from compute.sinkhorn import sinkhorn_weights

RULES = plugins.names("compute.merging.coefficients")
DISCOVERED = pytest.mark.parametrize("rule", RULES)
MATRIX = np.array([[1.0, 0.2, 0.6], [0.5, 1.0, 0.3], [0.1, 0.9, 1.0]])


@st.composite
def requests(draw: st.DrawFn) -> tuple[NDArray[np.float64], int, list[int]]:
    """A similarity matrix [n, n], a target and sources in any order."""
    n = draw(st.integers(1, 6))
    row = st.lists(st.floats(0.01, 1.0), min_size=n, max_size=n)
    matrix = np.array(draw(st.lists(row, min_size=n, max_size=n)))
    sources = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    return matrix, draw(st.integers(0, n - 1)), sources


@DISCOVERED
@given(request=requests())
def test_coefficients_are_shares_of_one(rule: str, request: tuple[NDArray[np.float64], int, list[int]]) -> None:
    matrix, target, sources = request
    coefficients = plugins.load("compute.merging.coefficients", rule)(matrix, target, sources)
    assert coefficients.shape == (len(sources),)
    assert (coefficients >= 0).all()
    assert coefficients.sum() == pytest.approx(1.0)


@DISCOVERED
@given(request=requests())
def test_coefficients_follow_the_order_of_the_sources(
    rule: str, request: tuple[NDArray[np.float64], int, list[int]]
) -> None:
    matrix, target, sources = request
    function = plugins.load("compute.merging.coefficients", rule)
    turned = function(matrix, target, sources[::-1])
    assert function(matrix, target, sources).tolist() == pytest.approx(turned[::-1].tolist())


def test_uniform_coefficients_are_equal() -> None:
    assert uniform(MATRIX, 0, [2, 1]).tolist() == [0.5, 0.5]


def test_similarity_coefficients_are_read_from_the_row_of_the_target() -> None:
    assert by_similarity(MATRIX, 0, [2, 1]).tolist() == pytest.approx([0.75, 0.25])
    assert by_similarity(MATRIX, 2, [0, 1]).tolist() == pytest.approx([0.1, 0.9])


def test_sinkhorn_coefficients_are_the_weights_of_the_whole_matrix_restricted_to_the_sources() -> None:
    weights = sinkhorn_weights(MATRIX)[2]
    expected = [weights[0] / (weights[0] + weights[1]), weights[1] / (weights[0] + weights[1])]
    assert sinkhorn(MATRIX, 2, [0, 1]).tolist() == pytest.approx(expected)


def test_similarities_that_share_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="zero for every source"):
        by_similarity(np.zeros((2, 2)), 0, [1])
    with pytest.raises(ValueError, match="finite and non-negative"):
        by_similarity(np.full((2, 2), -1.0), 0, [1])
    with pytest.raises(ValueError, match="no sources"):
        uniform(MATRIX, 0, [])


def test_sources_outside_the_most_similar_have_no_sinkhorn_weight() -> None:
    ramp = np.tile(np.linspace(0.1, 1.0, 30), (30, 1))
    assert sinkhorn(ramp, 0, [0, 29]).tolist() == [0.0, 1.0]
    assert sinkhorn(ramp, 0, [0, 1]).tolist() == [0.5, 0.5], "where the rule says nothing, equal parts"
