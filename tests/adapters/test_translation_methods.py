"""Methods that predict by principal components or make an adapter themselves, against plain computation on vectors."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compute import plugins
from compute.adapters import components
from compute.adapters.adapter import Adapter, Factors
from compute.adapters.diagnostics import agreement
from compute.adapters.material import Material
from compute.adapters.method import PACKAGE, bind_options, load_method, method_info
from compute.adapters.problem import Problem
from compute.errors import UsageError

Array = NDArray[np.float64]
BY_COMPONENTS = ("pertensor_pca", "procrustes", "pertensor_mlp")
seeds = st.integers(0, 2**32 - 1)


def posed(x: Array, y: Array, query: Array, truth: Array | None = None, seed: int = 0) -> Problem:
    """A problem of anchors x and y, [groups, n, entries], and a query [groups, entries]."""
    n = x.shape[1]
    return Problem(
        anchors=tuple(f"task {number}" for number in range(n)),
        domains=("math",) * n,
        domain="math",
        x=x @ x.transpose(0, 2, 1),
        query=np.einsum("gie,ge->gi", x, query),
        norm=np.einsum("ge,ge->g", query, query),
        y=y @ y.transpose(0, 2, 1),
        match=np.arange(len(x)),
        seed=seed,
        truth=None if truth is None else np.einsum("gie,ge->gi", y, truth),
        size=None if truth is None else np.einsum("ge,ge->g", truth, truth),
    )


def linear(
    seed: int, *, groups: int = 3, n: int = 9, hidden: int = 4, noise: float = 0.0, sizes: tuple[int, int] = (15, 21)
) -> tuple[Array, ...]:
    """Anchors and a query on X, and on Y what a linear map with an offset makes of them."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((groups, n + 1, hidden))
    x, y = (
        causes @ rng.standard_normal((groups, hidden, size))
        + 2 * rng.standard_normal((groups, 1, size))
        + noise * rng.standard_normal((groups, n + 1, size))
        for size in sizes
    )
    return x[:, :-1], y[:, :-1], x[:, -1], y[:, -1]


def predicted(name: str, problem: Problem, y: Array, **options: object) -> Array:
    weights = load_method(name)(problem, **bind_options(name, options))
    assert weights.shape == (problem.groups, len(problem))
    assert weights.sum(axis=1) == pytest.approx(np.ones(problem.groups))
    return np.einsum("gi,gie->ge", weights, y)


def dense_scores(rows: Array, count: int) -> tuple[Array, Array, Array]:
    """Mean, scores and directions of the leading components of one group, from the vectors themselves."""
    mean = rows.mean(axis=0)
    left, sizes, right = np.linalg.svd(rows - mean, full_matrices=False)
    return mean, (left * sizes)[:, :count], right[:count]


def test_components_are_those_of_the_vectors() -> None:
    x, _, query, _ = linear(1, hidden=12)
    problem = posed(x, x, query)
    found = components.components(problem.x, 5)
    for group in range(len(x)):
        mean, scores, directions = dense_scores(x[group], 5)
        assert np.abs(found.scores[group]) == pytest.approx(np.abs(scores))
        there = directions @ (query[group] - mean)
        assert np.abs(found.scores_of(problem.query)[group]) == pytest.approx(np.abs(there))
    given = np.random.default_rng(0).standard_normal((len(x), 5))
    weights = found.weights(given)
    made = np.einsum("gi,gie->ge", weights, x)
    assert found.scores_of(np.einsum("gie,ge->gi", x, made)) == pytest.approx(given)


def test_there_are_no_components_beyond_those_that_vary() -> None:
    x, _, query, _ = linear(2, n=6, hidden=2)
    found = components.components(posed(x, x, query).x, 16)
    assert len(found) == 5
    assert (found.sizes > 0).sum(axis=1).tolist() == [2, 2, 2]
    same = np.repeat(x[:, :1], 6, axis=1)
    assert not components.components(posed(same, same, query).x, 16).sizes.any()


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        components.components(np.eye(3)[None], 0)


@pytest.mark.parametrize("relative_lambda", [0.0, 0.3])
def test_a_map_between_components_is_the_least_squares_one(relative_lambda: float) -> None:
    x, y, query, _ = linear(3, hidden=12, noise=0.2)
    found = predicted("pertensor_pca", posed(x, y, query), y, rank=4, relative_lambda=relative_lambda)
    for group in range(len(x)):
        x_mean, z_x, x_directions = dense_scores(x[group], 4)
        y_mean, z_y, y_directions = dense_scores(y[group], 4)
        damping = relative_lambda * np.mean(np.sum(z_x**2, axis=0)) * np.eye(4)
        fitted = np.linalg.solve(z_x.T @ z_x + damping, z_x.T @ z_y)
        wanted = y_mean + (x_directions @ (query[group] - x_mean)) @ fitted @ y_directions
        assert found[group] == pytest.approx(wanted)


@given(seeds)
@settings(max_examples=20)
def test_a_linear_relation_is_recovered_by_all_components(seed: int) -> None:
    x, y, query, truth = linear(seed)
    assert predicted("pertensor_pca", posed(x, y, query), y, rank=8) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("whiten", [False, True])
def test_procrustes_is_the_best_rotation_and_scale(whiten: bool) -> None:
    x, y, query, _ = linear(4, hidden=12, noise=0.2)
    found = predicted("procrustes", posed(x, y, query), y, rank=4, whiten=whiten)
    for group in range(len(x)):
        x_mean, z_x, x_directions = dense_scores(x[group], 4)
        y_mean, z_y, y_directions = dense_scores(y[group], 4)
        of_x, of_y = (np.sqrt(np.sum(z**2, axis=0)) if whiten else np.ones(4) for z in (z_x, z_y))
        left, sizes, right = np.linalg.svd((z_x / of_x).T @ (z_y / of_y))
        scale = sizes.sum() / np.sum((z_x / of_x) ** 2)
        turned = scale * (x_directions @ (query[group] - x_mean) / of_x) @ left @ right
        assert found[group] == pytest.approx(y_mean + (turned * of_y) @ y_directions)


@given(seeds)
@settings(max_examples=20)
def test_procrustes_recovers_a_rotation_with_a_scale_and_an_offset(seed: int) -> None:
    x, _, query, _ = linear(seed, groups=1, n=20, hidden=15)
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((15, 15)))
    y, truth = (2.5 * each @ rotation + rng.standard_normal() for each in (x, query))
    y = y - y.mean(axis=1, keepdims=True) + truth.mean()
    offset = y.mean(axis=1) - 2.5 * x.mean(axis=1) @ rotation
    wanted = 2.5 * query @ rotation + offset
    assert predicted("procrustes", posed(x, y, query), y, rank=15) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ["pertensor_pca", "procrustes"])
@given(seed=seeds)
@settings(max_examples=10)
def test_turning_all_adapters_of_a_model_changes_no_weight(name: str, seed: int) -> None:
    x, y, query, _ = linear(seed, hidden=12, noise=0.3)
    rng = np.random.default_rng(seed)
    turn_x, turn_y = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (15, 21))
    plain = load_method(name)(posed(x, y, query), rank=3)
    turned = load_method(name)(posed(x @ turn_x, y @ turn_y, query @ turn_x), rank=3)
    assert turned == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("name", BY_COMPONENTS)
def test_each_tensor_is_predicted_from_the_one_that_it_is_matched_with(name: str) -> None:
    x, y, query, _ = linear(5, groups=2, hidden=6, noise=0.1)
    problem = posed(x, y, query)
    turned = replace(problem, x=problem.x[::-1].copy(), query=problem.query[::-1].copy(), match=np.array([1, 0]))
    assert load_method(name)(turned) == pytest.approx(load_method(name)(problem))


def test_more_groups_of_y_than_of_x_are_fine() -> None:
    x, y, query, _ = linear(6, groups=3)
    problem = replace(posed(x, y, query), x=posed(x, y, query).x[:1], query=posed(x, y, query).query[:1])
    problem = replace(problem, match=np.zeros(3, np.int64))
    for name in BY_COMPONENTS:
        assert load_method(name)(problem).shape == (3, 9)


def test_networks_beat_the_mean_on_a_linear_problem() -> None:
    x, y, query, truth = linear(7, groups=6, n=20, hidden=3, noise=0.2, sizes=(300, 400))
    problem = posed(x, y, query, truth)
    assert agreement(problem, load_method("pertensor_mlp")(problem)).r2 > 0.4


def test_networks_follow_the_seed_alone() -> None:
    import torch

    x, y, query, _ = linear(8)
    first = load_method("pertensor_mlp")(posed(x, y, query, seed=1), steps=20)
    torch.manual_seed(99)
    again = load_method("pertensor_mlp")(posed(x, y, query, seed=1), steps=20)
    other = load_method("pertensor_mlp")(posed(x, y, query, seed=2), steps=20)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_network_knows_nothing_of_the_other_groups() -> None:
    x, y, query, _ = linear(9, groups=2)
    changed = y.copy()
    changed[1] *= 100
    plain, touched = (load_method("pertensor_mlp")(posed(x, each, query), steps=50) for each in (y, changed))
    assert touched[0] == pytest.approx(plain[0], abs=1e-5)


def test_a_network_without_hidden_units_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        load_method("pertensor_mlp")(posed(*linear(0)[:3]), width=0)


def test_the_optimiser_is_adamw() -> None:
    import torch

    from compute.adapters.methods.pertensor_mlp import _outputs, _start, _train

    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 7, 3, generator=rng), torch.randn(2, 7, 2, generator=rng)
    ours = _start(2, 3, 5, 2, torch.Generator().manual_seed(1))
    theirs = [each.detach().clone().requires_grad_() for each in ours]
    _train(ours, x, y, rng, steps=15, rate=0.01, decay=0.1, noise=0.0)
    optimiser = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for _ in range(15):
        optimiser.zero_grad()
        (_outputs(theirs, x) - y).square().mean(dim=(1, 2)).sum().backward()
        optimiser.step()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", BY_COMPONENTS)
def test_anchors_that_are_all_the_same_give_their_mean(name: str) -> None:
    x, y, query, _ = linear(10)
    same = np.repeat(x[:, :1], x.shape[1], axis=1)
    found = load_method(name)(posed(same, y, query))
    if name == "pertensor_mlp":  # which still has its biases
        assert np.isfinite(found).all()
    else:
        assert found == pytest.approx(np.full(found.shape, 1 / 9))
    flat = np.repeat(y[:, :1], y.shape[1], axis=1)
    assert load_method(name)(posed(x, flat, query)) == pytest.approx(np.full(found.shape, 1 / 9))


def lora(rng: np.random.Generator, out: int, width: int, rank: int = 2, scale: float = 2.0) -> Factors:
    return Factors(
        rng.standard_normal((rank, width)).astype(np.float32),
        rng.standard_normal((out, rank)).astype(np.float32),
        scale,
    )


def adapter(rng: np.random.Generator, layers: int, out: int, width: int) -> Adapter:
    kinds = {"self_attn.q_proj": width, "self_attn.v_proj": out}
    return Adapter(
        {
            f"model.layers.{layer}.{kind}": lora(rng, rows, width)
            for layer in range(layers)
            for kind, rows in kinds.items()
        }
    )


def base(layers: int, out: int, width: int, seed: int) -> Callable[[str], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    weights = {
        f"model.layers.{layer}.{kind}": rng.standard_normal((rows, width)).astype(np.float32)
        for layer in range(layers)
        for kind, rows in {"self_attn.q_proj": width, "self_attn.v_proj": out}.items()
    }
    return weights.__getitem__


ANY = posed(*linear(0)[:3])


def test_a_random_adapter_is_of_the_anchors_size() -> None:
    rng = np.random.default_rng(0)
    anchors = {str(number): adapter(rng, 2, 6, 10) for number in range(4)}
    material = Material(adapter(rng, 3, 4, 8), anchors)
    made = load_method("random_norm")(ANY, material)
    assert list(made.modules) == list(anchors["0"].modules)
    for name, one in made.modules.items():
        sizes = [np.linalg.norm(each.modules[name].delta()) for each in anchors.values()]
        assert np.linalg.norm(one.delta()) == pytest.approx(np.mean(sizes), rel=1e-5)
        assert one.a.dtype == one.b.dtype == np.float32
        assert one.scale == 2.0
    again, other = (load_method("random_norm")(replace(ANY, seed=seed), material) for seed in (0, 1))
    name = next(iter(made.modules))
    assert np.array_equal(made.modules[name].a, again.modules[name].a)
    assert not np.allclose(made.modules[name].a, other.modules[name].a)


def test_a_random_adapter_of_anchors_that_do_nothing_does_nothing() -> None:
    factors = Factors(np.ones((2, 5), np.float32), np.zeros((4, 2), np.float32), 1.0)
    silent = Adapter({"model.layers.0.q": factors})
    made = load_method("random_norm")(ANY, Material(silent, {"a": silent}))
    assert not made.modules["model.layers.0.q"].delta().any()


def test_between_equal_bases_an_adapter_is_projected_on_their_subspaces() -> None:
    rng = np.random.default_rng(1)
    query, weight = adapter(rng, 2, 6, 10), base(2, 6, 10, seed=2)
    made = load_method("cross_lora")(ANY, Material(query, {"a": query}, weight, weight))
    for name, one in query.modules.items():
        if name.endswith("q_proj"):  # square: nothing is left out
            assert made.modules[name].delta() == pytest.approx(one.delta(), abs=1e-4)
    made = load_method("cross_lora")(ANY, Material(query, {"a": query}, weight, weight), rank=3)
    for name, one in query.modules.items():
        left, _, right = np.linalg.svd(weight(name))
        u, v = left[:, :3], right[:3].T
        assert made.modules[name].delta() == pytest.approx(u @ u.T @ one.delta() @ v @ v.T, abs=1e-4)


def test_bases_of_other_shapes_are_bridged_by_their_singular_vectors() -> None:
    rng = np.random.default_rng(3)
    query, anchor = adapter(rng, 4, 4, 8), adapter(rng, 3, 6, 10)
    material = Material(query, {"a": anchor}, base(4, 4, 8, seed=4), base(3, 6, 10, seed=5))
    made = load_method("cross_lora")(ANY, material)
    depth = {0: 0, 1: 2, 2: 3}  # 1.5 and halves like it: to the even number
    for place, name in anchor.places.items():
        source = query.modules[f"model.layers.{depth[place.layer]}.{place.kind}"]
        one = made.modules[name]
        assert one.delta().shape == anchor.modules[name].delta().shape
        assert one.rank == source.rank
        assert np.linalg.norm(one.delta()) <= np.linalg.norm(source.delta()) * (1 + 1e-5)
    name = "model.layers.0.self_attn.q_proj"
    assert np.linalg.norm(made.modules[name].delta()) == pytest.approx(
        np.linalg.norm(query.modules[name].delta()), rel=1e-4
    )


def test_where_the_bases_share_their_singular_vectors_the_adapter_is_turned_with_them() -> None:
    rng = np.random.default_rng(6)
    turn_out, turn_in = (np.linalg.qr(rng.standard_normal((12, 8)))[0].astype(np.float32) for _ in range(2))
    weight = rng.standard_normal((8, 8)).astype(np.float32)
    query = Adapter({"model.layers.0.q": lora(rng, 8, 8)})
    target = Adapter({"model.layers.0.q": lora(rng, 12, 12)})
    material = Material(query, {"a": target}, lambda _: weight, lambda _: turn_out @ weight @ turn_in.T)
    found = load_method("cross_lora")(ANY, material).modules["model.layers.0.q"].delta()
    wanted = turn_out @ query.modules["model.layers.0.q"].delta() @ turn_in.T
    # A pair (u, v) may come with its sign turned, which the models cannot tell each other.
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(wanted), rel=1e-4)
    u, _, v = np.linalg.svd(material.base_y("")) if material.base_y else ()
    assert np.abs(u[:, :8].T @ found @ v[:8].T) == pytest.approx(np.abs(u[:, :8].T @ wanted @ v[:8].T), abs=1e-4)


def test_a_negative_rank_of_subspaces_is_refused() -> None:
    query = adapter(np.random.default_rng(0), 1, 4, 8)
    with pytest.raises(UsageError, match="rank of cross_lora"):
        load_method("cross_lora")(ANY, Material(query, {"a": query}, base(1, 4, 8, 0), base(1, 4, 8, 0)), rank=-1)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_weights_are_finite_sum_to_one_and_are_the_same_again(name: str) -> None:
    if method_info(name).gives != "weights":
        return
    x, y, query, truth = linear(11, n=6, noise=0.3)
    problem = posed(x, y, query, truth, seed=5)
    weights = load_method(name)(problem, **bind_options(name, {}))
    assert weights.shape == (3, 6)
    assert weights.dtype == np.float64
    assert weights.sum(axis=1) == pytest.approx(np.ones(3))
    assert np.array_equal(weights, load_method(name)(problem, **bind_options(name, {})))


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_a_file_of_a_translation_method_holds_one_public_function(name: str) -> None:
    module = importlib.import_module(f"{PACKAGE}.{name}")
    defined = [
        found
        for found, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not found.startswith("_")
    ]
    assert defined == [name]
    assert module.__doc__
    assert load_method(name).__doc__


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_a_translation_method_describes_itself_and_takes_options_by_name(name: str) -> None:
    info = method_info(name)
    assert info.name == name
    assert info.title
    parameters = list(inspect.signature(load_method(name)).parameters.values())
    takes = ["problem", "material"] if info.gives == "adapter" else ["problem"]
    assert [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY] == takes
    assert all(each.default is not each.empty for each in parameters if each.kind is each.KEYWORD_ONLY)
    assert bind_options(name, {}) is not None
