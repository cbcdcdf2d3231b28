from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compute.merging.lots import lots, stream
from compute.merging.merge import merge
from compute.merging.ranks import magnitude_ranks
from compute.merging.recipe import Recipe


def merged(method: str, *vectors: Any, coefficients: Any = None, seed: int = 0, **options: Any) -> Any:
    """Return what is added to a base of zeros for task vectors of one tensor."""
    states = {f"expert-{n}": {"weight": torch.tensor(vector, dtype=torch.float32)} for n, vector in enumerate(vectors)}
    base = {"weight": torch.zeros_like(states["expert-0"]["weight"])}
    recipe = Recipe(method, tuple(coefficients or [1.0] * len(vectors)), options, seed=seed)
    return merge(base, states, recipe)["weight"].tolist()


# --- Breadcrumbs ------------------------------------------------------------------------------------------------------


def test_breadcrumbs_drops_the_outliers_and_the_small_entries_of_each_row() -> None:
    rows = [[5.0, -4.0, 3.0, 1.0], [0.1, 0.2, -0.4, 0.3]]
    expected = [[0.0, -4.0, 3.0, 0.0], [0.0, 0.2, 0.0, 0.3]]
    assert merged("breadcrumbs", rows, density=0.5, gamma=0.25) == [pytest.approx(row) for row in expected]


def test_breadcrumbs_of_a_tensor_ranks_all_its_entries() -> None:
    rows = [[5.0, -4.0, 3.0, 1.0], [0.1, 0.2, -0.4, 0.3]]
    expected = [[0.0, 0.0, 3.0, 1.0], [0.0, 0.0, pytest.approx(-0.4), pytest.approx(0.3)]]
    assert merged("breadcrumbs", rows, density=0.5, gamma=0.25, within="tensor") == expected


@pytest.mark.parametrize("within", ["row", "tensor"])
def test_a_tensor_of_one_dimension_is_one_row(within: str) -> None:
    assert merged("breadcrumbs", [5.0, -4.0, 3.0, 1.0], density=0.5, gamma=0.25, within=within) == [0.0, -4.0, 3.0, 0.0]


def test_breadcrumbs_adds_what_is_kept_times_coefficients_and_scale() -> None:
    vectors = ([4.0, 2.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0])
    found = merged("breadcrumbs", *vectors, coefficients=(0.5, 1), density=0.5, gamma=0.25, scale=10.0)
    assert found == [0.0, 30.0, 35.0, 0.0]  # [·, 2, 1, ·] and [·, 2, 3, ·]


def test_breadcrumbs_may_elect_signs() -> None:
    vectors = ([1.0, 2.0], [-3.0, 1.0], [1.0, -1.0])
    options = {"density": 1.0, "gamma": 0.0}
    assert merged("breadcrumbs", *vectors, **options) == [-1.0, 2.0]
    assert merged("breadcrumbs", *vectors, ties=True, **options) == [-3.0, 3.0]
    assert merged("breadcrumbs", *vectors, coefficients=(2, 1, 2), ties=True, **options) == [4.0, 5.0]


@pytest.mark.parametrize("within", ["row", "tensor"])
def test_breadcrumbs_keeps_all_that_tie_with_the_first_and_the_last_kept(within: str) -> None:
    vector = [3.0, -3.0, 2.0, 2.0, 1.0]  # the first goes as an outlier, the second and a third stay: so do all alike
    assert merged("breadcrumbs", vector, density=0.4, gamma=0.2, within=within) == [3.0, -3.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize("within", ["row", "tensor"])
def test_of_too_few_entries_none_stays(within: str) -> None:
    assert merged("breadcrumbs", [3.0], density=0.9, within=within) == [0.0]
    assert merged("breadcrumbs", [3.0], density=1.0, gamma=0.0, within=within) == [3.0]


@pytest.mark.parametrize(("density", "gamma"), [(0.0, 0.1), (0.95, 0.1), (0.5, -0.1)])
def test_breadcrumbs_refuses_shares_that_are_none(density: float, gamma: float) -> None:
    with pytest.raises(ValueError, match="density, the share kept"):
        merged("breadcrumbs", [1.0, 2.0], density=density, gamma=gamma)


# --- DELLA ------------------------------------------------------------------------------------------------------------


def chances(row: list[float], density: float, epsilon: float) -> list[float]:
    """Return how often each entry stays, over many seeds, and check that it then is divided by its probability."""
    kept = np.array([merged("della", row, density=density, epsilon=epsilon, seed=seed) for seed in range(300)])
    stayed = kept != 0
    shares = [np.unique(column[column != 0]) for column in kept.T]
    assert all(len(share) == 1 for share in shares)
    probabilities = [entry / share[0] for entry, share in zip(row, shares, strict=True)]
    assert stayed.mean(axis=0) == pytest.approx(probabilities, abs=0.1)
    return probabilities


def test_della_keeps_large_entries_more_often_than_small_ones() -> None:
    assert chances([1.0, -4.0, 3.0, 2.0, 0.5], 0.5, 0.4) == pytest.approx([0.3, 0.9, 0.7, 0.5, 0.1])


def test_della_keeps_an_entry_that_is_alone_in_its_row_by_the_density() -> None:
    assert chances([2.0], 0.6, 0.3) == pytest.approx([0.6])


def test_della_ranks_within_each_row() -> None:
    rows = [[1.0, 2.0], [30.0, 20.0]]
    drawn = np.empty(4, dtype=np.float32)
    lots(stream(5, "expert-0", "weight"), 0, drawn)
    probability = np.array([[0.25, 0.75], [0.75, 0.25]])
    expected = np.where(drawn.reshape(2, 2) < probability, rows / probability, 0)
    assert merged("della", rows, density=0.5, epsilon=0.25, seed=5) == [pytest.approx(row) for row in expected]


def test_della_elects_signs_and_averages_what_agrees() -> None:
    vectors = ([1.0, 2.0], [-4.0, 1.0], [2.0, -1.0])
    everything = {"density": 1.0, "epsilon": 0.0}
    assert merged("della", *vectors, **everything) == [-4.0, 1.5]
    assert merged("della", *vectors, coefficients=(3, 1, 1), **everything) == [1.25, 1.75]
    assert merged("della", *vectors, divide="none", scale=2.0, **everything) == [-8.0, 6.0]
    assert merged("della", *vectors, ties=False, **everything) == [-1.0, 2.0]


def test_della_may_keep_the_norm_of_each_tensor() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 16))
    options = {"density": 0.5, "epsilon": 0.2, "seed": 1}
    kept = np.array(merged("della", rows, rescale="norm", **options))
    assert np.abs(kept).sum() == pytest.approx(np.abs(rows).sum())
    ratio = kept[kept != 0] / rows[kept != 0]
    assert ratio == pytest.approx(np.full(ratio.size, ratio[0]))
    assert ((kept != 0) == (np.array(merged("della", rows, **options)) != 0)).all()
    assert merged("della", np.zeros((2, 3)), rescale="norm", **options) == [[0.0] * 3] * 2


@pytest.mark.parametrize(("density", "epsilon"), [(0.1, 0.1), (0.95, 0.1), (1.0, 0.05), (0.5, -0.1)])
def test_della_refuses_what_is_no_probability(density: float, epsilon: float) -> None:
    with pytest.raises(ValueError, match="density ± epsilon are probabilities"):
        merged("della", [1.0, 2.0], density=density, epsilon=epsilon)


# --- SCE --------------------------------------------------------------------------------------------------------------


def test_sce_selects_what_varies_weighs_by_energy_and_erases_minorities() -> None:
    first, second = [3.0, 1.0, -2.0, 5.0], [1.0, 1.0, 4.0, 4.0]  # variances 1, 0, 9, ¼
    # ⅔ of the three that vary: the first and the third. Energies 9 + 4 and 1 + 16.
    expected = [(13 * 3 + 17 * 1) / 30, 0.0, 4.0, 0.0]
    assert merged("sce", first, second, density=0.67) == pytest.approx(expected)


def test_sce_of_everything() -> None:
    found = merged("sce", [3.0, 1.0], [1.0, 1.0], density=1.0)
    assert found == pytest.approx([(10 * 3 + 2 * 1) / 12, 1.0])


def test_coefficients_of_sce_multiply_the_energies() -> None:
    vectors = ([3.0, 1.0], [1.0, 1.0])
    assert merged("sce", *vectors, density=1.0, coefficients=(1, 5)) == pytest.approx([2.0, 1.0])
    equal = merged("sce", *vectors, density=1.0, coefficients=(1, 1))
    assert merged("sce", *vectors, density=1.0, coefficients=(7, 7)) == pytest.approx(equal)
    assert merged("sce", *vectors, density=1.0, coefficients=(0, 7)) == [1.0, 1.0]


def test_sce_may_take_experts_of_little_energy_for_equal() -> None:
    vectors = ([3e-4, 1e-4], [1e-4, 1e-4])
    assert merged("sce", *vectors, density=1.0, least_energy=1e-6) == pytest.approx([2e-4, 1e-4])
    assert merged("sce", *vectors, density=1.0) == pytest.approx([32e-4 / 12, 1e-4])


def test_sce_selects_none_where_none_varies_or_too_few_do() -> None:
    assert merged("sce", [3.0, 1.0], [3.0, 1.0], density=0.5) == [0.0, 0.0]
    assert merged("sce", [3.0, 1.0], [2.0, 1.0], density=0.5) == [0.0, 0.0]  # half of one
    assert merged("sce", [0.0, 0.0], [0.0, 0.0], density=1.0) == [0.0, 0.0]


def test_sce_ranks_variances_too_small_for_their_squares() -> None:
    found = merged("sce", [1e-30, 3e-30, 0.0, 0.0], [0.0, 0.0, 1e-30, 2e-30], density=0.5)
    assert found == [0.0, pytest.approx(3e-30), 0.0, pytest.approx(2e-30)]


def test_sce_refuses_a_density_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"density is the share .* not 0"):
        merged("sce", [1.0], [2.0], density=0.0)


# --- Ranks ------------------------------------------------------------------------------------------------------------


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64]),
        arrays.array_shapes(min_dims=1, max_dims=3, max_side=6),
        elements=st.floats(-4, 4, width=16),
    )
)
def test_ranks_are_those_of_a_stable_sort(rows: Any) -> None:
    order = np.argsort(np.abs(rows), axis=-1, kind="stable")
    expected = np.argsort(order, axis=-1).tolist()
    found: Mapping[str, Any] = {"numpy": magnitude_ranks(rows), "torch": magnitude_ranks(torch.from_numpy(rows))}
    assert {name: ranks.tolist() for name, ranks in found.items()} == {"numpy": expected, "torch": expected}
