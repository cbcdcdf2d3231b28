"""From weights to adapters: sums of factors, the exact truncation of sums of ΔW, and methods called by their word."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_adapters import deltas, drawn, family, normal, posed, regauged, weighted
from numpy.typing import NDArray

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.material import Material
from compute.adapters.problem import Space
from compute.adapters.spaces import groups
from compute.adapters.translate import combine, combine_many, translate
from compute.errors import UsageError

SPACES = get_args(Space)


def some_weights(seed: int, adapters: list[Adapter], space: Space) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((len(groups(adapters[0], space)), len(adapters)))


def truncated(whole: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    left, sizes, right = np.linalg.svd(whole, full_matrices=False)
    return left[:, :rank] * sizes[:rank] @ right[:rank]


def same(one: Adapter, other: Adapter) -> bool:
    pairs = [(one.modules[name], other.modules[name]) for name in one.modules]
    return all((a.a == b.a).all() and (a.b == b.b).all() and a.scale == b.scale for a, b in pairs)


def test_a_and_b_are_each_the_sum_by_their_own_weights() -> None:
    anchors = list(family(1, 3).values())
    weights = some_weights(0, anchors, "factor")
    found = combine(weights, anchors, "factor")
    for number, group in enumerate(groups(anchors[0], "factor")):
        part = group.part.lower()
        wanted = np.sum(
            [c * getattr(one[group.place], part) for c, one in zip(weights[number], anchors, strict=True)], 0
        )
        assert getattr(found[group.place], part) == pytest.approx(wanted, abs=1e-5)
        assert found[group.place].scale == 2.0


def test_in_b_a_is_the_plain_mean() -> None:
    anchors = list(family(1, 3).values())
    weights = some_weights(0, anchors, "b")
    found = combine(weights, anchors, "b")
    for number, place in enumerate(found.places):
        wanted = np.sum([c * one[place].b for c, one in zip(weights[number], anchors, strict=True)], axis=0)
        assert found[place].b == pytest.approx(wanted, abs=1e-5)
        assert found[place].a == pytest.approx(np.mean([one[place].a for one in anchors], axis=0), abs=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_sum_of_deltas_is_cut_to_the_best_of_the_anchors_rank(seed: int) -> None:
    anchors = list(family(seed % 100, 4, layers=2).values())
    weights = some_weights(seed, anchors, "delta")
    found = combine(weights, anchors, "delta")
    for number, place in enumerate(found.places):
        wanted = truncated(weighted(list(weights[number]), anchors, place), 2)
        assert found[place].rank == 2
        assert deltas(found)[place] == pytest.approx(wanted, abs=2e-5 * np.abs(wanted).max())
        assert found[place].scale == 2.0
        norms = np.linalg.norm(found[place].a, axis=1), np.linalg.norm(found[place].b, axis=0)
        assert norms[0] == pytest.approx(norms[1], rel=1e-4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_sum_of_deltas_does_not_see_how_they_are_factored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = list(family(1, 3, layers=1).values())
    weights = some_weights(seed, anchors, "delta")
    found, again = (combine(weights, which, "delta") for which in (anchors, [regauged(one, rng) for one in anchors]))
    for place in found.places:
        assert deltas(again)[place] == pytest.approx(
            deltas(found)[place], abs=1e-4 * np.abs(deltas(found)[place]).max()
        )
        # A singular vector is as sure as its singular value is apart from others.
        sizes = np.linalg.svd(weighted(list(weights[0]), anchors, place))[1]
        if np.diff(-sizes[:3]).min() > 0.1 * sizes[0]:
            assert again[place].a == pytest.approx(found[place].a, abs=1e-3)


def test_one_anchor_alone_comes_back_whole() -> None:
    anchors = list(family(1, 3).values())
    for space in SPACES:
        alone = np.tile(np.eye(3)[1], (len(groups(anchors[0], space)), 1))
        found, wanted = deltas(combine(alone, anchors, space)), deltas(anchors[1])
        if space != "b":
            assert all(found[place] == pytest.approx(wanted[place], abs=1e-5) for place in wanted)


def test_anchors_that_share_their_start_are_no_harder() -> None:
    # Stacks of nearly equal A have nearly no rank beyond the first.
    rng = np.random.default_rng(0)
    start = normal(rng, 4, 40)
    factors = [Factors(start + 1e-3 * normal(rng, 4, 40), normal(rng, 30, 4), 1.0) for _ in range(12)]
    anchors = [Adapter({"model.layers.0.q": one}) for one in factors]
    weights = some_weights(1, anchors, "delta")
    (place,) = anchors[0].places
    wanted = truncated(weighted(list(weights[0]), anchors, place), 4)
    found = deltas(combine(weights, anchors, "delta"))[place]
    assert found == pytest.approx(wanted, abs=2e-5 * np.abs(wanted).max())


def test_ranks_and_scales_may_differ_in_delta_alone() -> None:
    anchors = [drawn(1, rank=1, scale=1.0), drawn(2, rank=3, scale=0.5), drawn(3, rank=2, scale=2.0)]
    weights = some_weights(2, anchors, "delta")
    found = combine(weights, anchors, "delta")
    for number, place in enumerate(found.places):
        wanted = truncated(weighted(list(weights[number]), anchors, place), 3)
        assert (found[place].rank, found[place].scale) == (3, 1.0)
        assert deltas(found)[place] == pytest.approx(wanted, abs=2e-5 * np.abs(wanted).max())
    with pytest.raises(UsageError, match="'anchor 1' and 'anchor 2' differ in rank"):
        combine(some_weights(2, anchors, "factor"), anchors, "factor")


@pytest.mark.parametrize("space", SPACES)
def test_nothing_of_anything_is_zero(space: Space) -> None:
    anchors = list(family(1, 3).values())
    nothing = np.zeros((len(groups(anchors[0], space)), 3))
    unlearned = [
        Adapter({name: Factors(one.a, 0 * one.b, 2.0) for name, one in each.modules.items()}) for each in anchors
    ]
    for found in (combine(nothing, anchors, space), combine(nothing + 1 / 3, unlearned, space)):
        assert all(not delta.any() for delta in deltas(found).values())


@pytest.mark.parametrize("space", SPACES)
def test_many_at_once_are_what_each_is_alone(space: Space) -> None:
    anchors = list(family(1, 4).values())
    weights = np.stack([some_weights(seed, anchors, space) for seed in range(3)])
    for found, each in zip(combine_many(weights, anchors, space), weights, strict=True):
        alone = combine(each, anchors, space)
        assert list(found.modules) == list(alone.modules)
        for place in alone.places:
            assert found[place].a == pytest.approx(alone[place].a, abs=1e-5)
            assert found[place].b == pytest.approx(alone[place].b, abs=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_the_same_weights_give_the_same_bytes_in_float32_and_in_the_order_of_layers(space: Space) -> None:
    anchors = list(family(1, 4, layers=11).values())
    weights = some_weights(0, anchors, space)
    found = combine(weights, anchors, space)
    assert same(found, combine(weights, anchors, space))
    assert list(found.modules)[:3] == [
        f"model.layers.{at}" for at in ("0.self_attn.q_proj", "0.self_attn.v_proj", "1.self_attn.q_proj")
    ]
    assert {array.dtype for one in found.modules.values() for array in (one.a, one.b)} == {np.dtype(np.float32)}


def test_signs_are_settled() -> None:
    anchors = list(family(1, 3).values())
    found = combine(some_weights(0, anchors, "delta"), anchors, "delta")
    for one in found.modules.values():
        assert (one.a[range(one.rank), np.abs(one.a).argmax(axis=1)] > 0).all()


def test_a_method_is_called_by_its_word_with_its_options() -> None:
    x, y = family(1, 5), family(2, 5)
    problem = posed(x, y, "factor")
    anchors = {name: y[name] for name in problem.anchors}
    shuffled = dict(reversed(anchors.items()))
    material = Material(x["task 4"], shuffled)
    found = translate("mean", {}, problem, material, "factor")
    assert same(found, combine(np.full((12, 4), 0.25), list(anchors.values()), "factor"))
    near, wide = (translate("topk_global_ridge", {"k": k}, problem, material, "factor") for k in (1, 4))
    assert not same(near, wide)
    assert same(wide, translate("global_ridge", {}, problem, material, "factor"))
    with pytest.raises(UsageError, match="unknown option of mean 'k'"):
        translate("mean", {"k": 3}, problem, material, "factor")


def test_a_method_that_gives_an_adapter_is_asked_for_it() -> None:
    x, y = family(1, 5), family(2, 5)
    problem = posed(x, y, "delta")
    material = Material(x["task 4"], {name: y[name] for name in problem.anchors})
    found = translate("random_norm", {}, problem, material, "delta")
    assert found.places == y["task 0"].places


def test_what_a_method_needs_and_cannot_have_is_named() -> None:
    x, y = family(1, 3), family(2, 3)
    material = Material(x["task 2"], {name: y[name] for name in ("task 0", "task 1")})
    blind = posed(x, y, "delta", truth=False)
    with pytest.raises(UsageError, match="span_ceiling needs the task's own adapter on Y"):
        translate("span_ceiling", {}, blind, material, "delta")
    with pytest.raises(UsageError, match="cross_lora needs the weights of both base models"):
        translate("cross_lora", {}, blind, material, "delta")
