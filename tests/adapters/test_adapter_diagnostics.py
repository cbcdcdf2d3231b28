"""What is measured of adapters and translations, against plain computation on vectors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.diagnostics import agreement, cka, hubs, same_start
from compute.adapters.problem import Problem

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def gram(rows: Array) -> Array:
    return rows @ rows.swapaxes(-1, -2)


def problem(y: Array, truth: Array) -> Problem:
    """A problem of which Y's side alone matters: anchors [groups, n, entries], truth [groups, entries]."""
    count = y.shape[1]
    nothing = np.zeros((1, count))
    return Problem(
        anchors=tuple(map(str, range(count))),
        domains=("math",) * count,
        domain="math",
        x=nothing[..., None] * nothing[:, None],
        query=nothing,
        norm=np.zeros(1),
        y=gram(y),
        match=np.zeros(len(y), np.int64),
        truth=np.einsum("gie,ge->gi", y, truth),
        size=np.einsum("ge,ge->g", truth, truth),
    )


def test_cka_is_that_of_centred_vectors() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 5)) + 3, rng.standard_normal((8, 7))
    u, v = x - x.mean(axis=0), y - y.mean(axis=0)
    wanted = np.linalg.norm(u.T @ v) ** 2 / (np.linalg.norm(u.T @ u) * np.linalg.norm(v.T @ v))
    assert cka(gram(x), gram(y)) == pytest.approx(wanted)
    groups = np.stack([gram(x[:, :2]), gram(x[:, 2:])])
    assert cka(groups, gram(y)) == pytest.approx(wanted)


@given(seeds)
@settings(max_examples=20)
def test_cka_does_not_see_rotations_scales_and_offsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((7, 5))
    turned = -3 * x @ np.linalg.qr(rng.standard_normal((5, 5)))[0] + 10
    for debiased in (False, True):
        assert cka(gram(x), gram(turned), debiased=debiased) == pytest.approx(1)
        assert cka(gram(x), gram(x[::-1]), debiased=debiased) <= 1


def test_unrelated_adapters_of_many_entries_look_alike_unless_debiased() -> None:
    rng = np.random.default_rng(1)
    found = [(gram(rng.standard_normal((12, 3000))), gram(rng.standard_normal((12, 3000)))) for _ in range(20)]
    assert min(cka(x, y) for x, y in found) > 0.9
    assert abs(np.mean([cka(x, y, debiased=True) for x, y in found])) < 0.1


def test_cka_of_adapters_that_do_not_vary_cannot_be_told() -> None:
    rng = np.random.default_rng(2)
    same, other = np.tile(rng.standard_normal(9), (6, 1)), rng.standard_normal((6, 9))
    assert math.isnan(cka(gram(same), gram(other)))
    assert math.isnan(cka(gram(same), gram(other), debiased=True))
    assert math.isnan(cka(gram(other)[:3, :3], gram(other)[:3, :3], debiased=True))


@given(seeds)
@settings(max_examples=20)
def test_agreement_is_that_of_the_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, truth = rng.standard_normal((3, 5, 11)) + 1, rng.standard_normal((3, 11)) + 1
    weights = rng.standard_normal((3, 5))
    found = agreement(problem(y, truth), weights)
    made, mean = np.einsum("gi,gie->ge", weights, y), y.mean(axis=1)
    assert found.r2 == pytest.approx(1 - np.sum((truth - made) ** 2) / np.sum((truth - mean) ** 2))
    moved, wanted = (made - mean).ravel(), (truth - mean).ravel()
    assert found.cosine == pytest.approx(moved @ wanted / (np.linalg.norm(moved) * np.linalg.norm(wanted)))
    assert found.norm == pytest.approx(np.linalg.norm(made) / np.linalg.norm(truth))
    assert found.effective == pytest.approx(np.mean(1 / np.sum(weights**2, axis=1)))


def test_the_mean_explains_nothing_and_points_nowhere() -> None:
    rng = np.random.default_rng(3)
    found = agreement(problem(rng.standard_normal((2, 4, 9)), rng.standard_normal((2, 9))), np.full((2, 4), 0.25))
    assert found.r2 == pytest.approx(0)
    assert math.isnan(found.cosine)
    assert found.effective == pytest.approx(4)


def test_an_anchor_itself_is_found_again() -> None:
    y = np.random.default_rng(4).standard_normal((2, 4, 9))
    found = agreement(problem(y, y[:, 1]), np.tile([0.0, 1.0, 0.0, 0.0], (2, 1)))
    assert found == pytest.approx((1, 1, 1, 1))


def test_without_the_truth_nothing_is_compared() -> None:
    rng = np.random.default_rng(5)
    blind = replace(problem(rng.standard_normal((1, 3, 4)), rng.standard_normal((1, 4))), truth=None, size=None)
    with pytest.raises(ValueError, match="does not know"):
        agreement(blind, np.full((1, 3), 1 / 3))


def test_hubs_are_counted_over_selections() -> None:
    found = hubs([("a", "b"), ("b", "c"), ("b", "a")], ("a", "b", "c", "d"))
    assert found == {"a": 2, "b": 3, "c": 1, "d": 0}


def trained(seed: int, start: int, amount: float, rank: int = 4) -> Adapter:
    """An adapter of two modules whose A began at *start* and moved by *amount* of its own length."""
    first, own = np.random.default_rng(start), np.random.default_rng(seed)
    modules = {}
    for layer in range(2):
        begun = first.uniform(-1, 1, (rank, 60))
        moved = own.uniform(-1, 1, (rank, 60))
        b = own.standard_normal((50, rank)).astype(np.float32)
        modules[f"model.layers.{layer}.q"] = Factors((begun + amount * moved).astype(np.float32), b, 2.0)
    return Adapter(modules)


def test_adapters_of_one_start_are_told_from_those_of_their_own() -> None:
    shared = same_start({str(task): trained(100 + task, 0, 0.3) for task in range(5)})
    assert shared.shared
    assert shared.why.startswith("shared:")
    assert shared.a_cosine == pytest.approx(1 / 1.09, abs=0.05)
    assert abs(shared.b_cosine) < 0.2
    separate = same_start({str(task): trained(100 + task, task, 0.3) for task in range(5)})
    assert not separate.shared
    assert separate.why.startswith("not shared:")
    assert abs(separate.a_cosine) < 0.1


def test_cosines_are_means_over_pairs_of_whole_adapters() -> None:
    adapters = {str(task): trained(task, 0, 0.5) for task in range(3)}
    rows = [np.concatenate([one.a.ravel() for one in adapter.modules.values()]) for adapter in adapters.values()]
    pairs = [(rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2])]
    wanted = np.mean([u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in pairs])
    assert same_start(adapters).a_cosine == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("adapters", "why"),
    [
        ({"a": trained(0, 0, 0.3)}, "no two adapters"),
        ({"a": trained(0, 0, 0.3), "b": trained(1, 0, 0.3, rank=2)}, "differ in modules, ranks or widths"),
        ({"a": trained(0, 0, 0.3), "b": Adapter({})}, "differ in modules"),
        ({str(task): trained(100 + task, 0, 1.5) for task in range(4)}, "less than half in common"),
    ],
)
def test_what_cannot_be_told_says_why(adapters: dict[str, Adapter], why: str) -> None:
    found = same_start(adapters)
    assert not found.shared
    assert found.why.startswith("cannot be told:")
    assert why in found.why


def test_a_start_that_some_share_is_not_shared_by_all() -> None:
    found = same_start({str(task): trained(100 + task, task // 2, 0.3) for task in range(4)})
    assert not found.shared
    assert found.why.startswith("shared by some:")


def test_an_adapter_without_a_is_no_evidence() -> None:
    silent = Adapter({"model.layers.0.q": Factors(np.zeros((2, 5), np.float32), np.zeros((4, 2), np.float32), 1.0)})
    found = same_start({"a": silent, "b": silent})
    assert (found.shared, found.why) == (False, "cannot be told: an A is zero")
    assert math.isnan(found.a_cosine)
