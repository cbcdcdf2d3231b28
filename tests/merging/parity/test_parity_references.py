"""The references against mergekit's and peft's real output: what equals, and by how much the rest differs by design."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import references as reference
import torch
from references import Array
from safetensors.torch import save_file

WEIGHTS = [0.4, 0.3, 0.2, 0.1]
EQUAL = [0.25] * 4
ROUNDING = 1e-6
"""The results are float32 around 1 at most; the references float64."""


def moved(merged: Mapping[str, Any], checkpoints: Any) -> dict[str, Array]:
    """Return what was added to the base."""
    return {
        name: values.numpy().astype(float) - checkpoints.base_state[name].numpy() for name, values in merged.items()
    }


def added(merged: Mapping[str, Array], checkpoints: Any) -> dict[str, Array]:
    """Return merged weights less the base."""
    return {name: values - checkpoints.base_state[name].numpy() for name, values in merged.items()}


def differing(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the share of entries that are not equal but for rounding."""
    assert found.keys() == expected.keys()
    apart = [np.abs(found[name] - expected[name]) > ROUNDING for name in expected]
    return sum(int(one.sum()) for one in apart) / sum(one.size for one in apart)


def length(merged: Mapping[str, Array]) -> float:
    return float(np.sqrt(sum((values**2).sum() for values in merged.values())))


def distance(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the length of the difference, relative to the expected."""
    return length({name: found[name] - expected[name] for name in expected}) / length(expected)


@pytest.fixture(scope="session")
def weights(checkpoints: Any) -> dict[str, Array]:
    """The experts' weights [4, *shape] by tensor."""
    return {name: np.stack([state[name] for state in checkpoints.expert_states]) for name in checkpoints.base_state}


@pytest.fixture(scope="session")
def near(checkpoints: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same checkpoints with experts as near to the base as ordinary fine-tuning leaves them: entries of 1e-4."""
    folder = tmp_path_factory.mktemp("near")
    base, states = checkpoints.base_state, []
    for path, state in zip(checkpoints.experts, checkpoints.expert_states, strict=True):
        states.append({name: base[name] + 0.005 * (values - base[name]) for name, values in state.items()})
        made = folder / path.name
        made.mkdir()
        (made / "config.json").write_bytes((path / "config.json").read_bytes())
        save_file(states[-1], made / "model.safetensors", metadata={"format": "pt"})
    experts = [folder / path.name for path in checkpoints.experts]
    return replace(checkpoints, experts=experts, expert_states=states, vectors=reference.stacked(base, states))


# --- mergekit: what equals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [EQUAL, WEIGHTS, [1.0, 2.0, 3.0, 4.0]])
def test_linear_is_the_weighted_average(mergekit: Any, checkpoints: Any, weights: Any, shares: list[float]) -> None:
    merged = mergekit(checkpoints.config("linear", base=False, each={"weight": shares}))
    expected = added(reference.per_tensor(reference.average, weights, shares), checkpoints)
    assert differing(moved(merged, checkpoints), expected) == 0


def test_task_arithmetic_is_the_weighted_sum(mergekit: Any, checkpoints: Any) -> None:
    merged = mergekit(checkpoints.config("task_arithmetic", each={"weight": WEIGHTS}))
    expected = reference.per_tensor(reference.task_arithmetic, checkpoints.vectors, WEIGHTS)
    assert differing(moved(merged, checkpoints), expected) == 0


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_ties_of_mergekit(mergekit: Any, checkpoints: Any, density: float, normalize: bool) -> None:
    each = {"weight": WEIGHTS, "density": density}
    merged = mergekit(checkpoints.config("ties", each=each, normalize=normalize))
    expected = reference.per_tensor(
        reference.ties_mergekit, checkpoints.vectors, WEIGHTS, density=density, normalize=normalize
    )
    assert differing(moved(merged, checkpoints), expected) == 0


def test_dare_linear_of_mergekit(mergekit: Any, checkpoints: Any) -> None:
    merged = mergekit(checkpoints.config("dare_linear", each={"weight": WEIGHTS, "density": 0.5}))
    expected = {
        name: reference.task_arithmetic(reference.dare_mergekit(values, mergekit.masks[name]), WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    assert differing(moved(merged, checkpoints), expected) == 0


def test_dare_ties_of_mergekit(mergekit: Any, checkpoints: Any) -> None:
    merged = mergekit(checkpoints.config("dare_ties", each={"weight": WEIGHTS, "density": 0.5}))
    expected = {
        name: reference.dare_ties_mergekit(values, mergekit.masks[name], WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    assert differing(moved(merged, checkpoints), expected) == 0


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp(mergekit: Any, checkpoints: Any, t: float) -> None:
    config = checkpoints.config("slerp", count=1, t=t)
    config["models"].insert(0, {"model": str(checkpoints.base)})
    base, expert = checkpoints.base_state, checkpoints.expert_states[0]
    expected = {name: reference.slerp(base[name], expert[name], t) for name in base}
    assert differing(moved(mergekit(config), checkpoints), added(expected, checkpoints)) == 0


@pytest.mark.parametrize("base", [True, False])
def test_nuslerp(mergekit: Any, checkpoints: Any, weights: Any, base: bool) -> None:
    merged = mergekit(checkpoints.config("nuslerp", base=base, count=2, each={"weight": [1.0, 3.0]}))
    stacks = checkpoints.vectors if base else weights
    expected = {name: reference.nuslerp(values[:2], [1.0, 3.0]) for name, values in stacks.items()}
    assert differing(moved(merged, checkpoints), expected if base else added(expected, checkpoints)) == 0


@pytest.mark.parametrize("base", [True, False])
def test_multislerp_is_the_mean_of_directions_at_the_mean_length(
    mergekit: Any, checkpoints: Any, weights: Any, base: bool
) -> None:
    merged = mergekit(checkpoints.config("multislerp", base=base, each={"weight": WEIGHTS}))
    expected = reference.per_tensor(reference.multislerp, checkpoints.vectors if base else weights, WEIGHTS)
    assert differing(moved(merged, checkpoints), expected if base else added(expected, checkpoints)) == 0


def test_karcher_is_of_the_weights_themselves(mergekit: Any, checkpoints: Any, weights: Any) -> None:
    merged = mergekit(checkpoints.config("karcher", base=False))
    expected = reference.per_tensor(reference.karcher, weights, iterations=10, tolerance=1e-5)
    assert distance(moved(merged, checkpoints), added(expected, checkpoints)) < 1e-4
    exact = reference.per_tensor(reference.karcher, weights)
    assert distance(moved(merged, checkpoints), added(exact, checkpoints)) < 1e-4


def test_model_stock(mergekit: Any, checkpoints: Any) -> None:
    merged = mergekit(checkpoints.config("model_stock"))
    expected = reference.per_tensor(reference.model_stock, checkpoints.vectors)
    assert distance(moved(merged, checkpoints), expected) < 1e-4


@pytest.mark.parametrize(("density", "gamma"), [(0.9, 0.01), (0.5, 0.1), (0.95, 0.2)])
def test_breadcrumbs_of_mergekit(mergekit: Any, checkpoints: Any, density: float, gamma: float) -> None:
    each = {"weight": WEIGHTS, "density": density, "gamma": gamma}
    merged = mergekit(checkpoints.config("breadcrumbs", each=each))
    options = {"density": density, "gamma": gamma}
    expected = reference.per_tensor(reference.breadcrumbs_mergekit, checkpoints.vectors, WEIGHTS, **options)
    assert differing(moved(merged, checkpoints), expected) == 0


def test_della_of_mergekit(mergekit: Any, checkpoints: Any) -> None:
    merged = mergekit(checkpoints.config("della", each={"weight": WEIGHTS, "density": 0.5, "epsilon": 0.15}))
    expected = {
        name: reference.della_mergekit(values, mergekit.masks[name], WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    assert differing(moved(merged, checkpoints), expected) == 0


def test_della_of_mergekit_keeps_by_the_official_probabilities(mergekit: Any, checkpoints: Any) -> None:
    """The largest of a row stays with .95, the smallest with .05: too many agree to be chance."""
    mergekit(checkpoints.config("della", each={"weight": WEIGHTS, "density": 0.5, "epsilon": 0.45}))
    chances, kept = [], []
    for name, values in checkpoints.vectors.items():
        chances.append(reference.della_probabilities(values, 0.5, 0.45).ravel())
        kept.append(mergekit.masks[name].numpy().ravel())
    chance, stayed = np.concatenate(chances), np.concatenate(kept)
    for low in (0.0, 0.25, 0.5, 0.75):
        part = (chance >= low) & (chance < low + 0.25)
        assert stayed[part].mean() == pytest.approx(chance[part].mean(), abs=0.03)


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_sce_of_mergekit_is_the_paper_s(mergekit: Any, checkpoints: Any, density: float) -> None:
    merged = mergekit(checkpoints.config("sce", select_topk=density))
    expected = reference.per_tensor(reference.sce, checkpoints.vectors, density=density, least_energy=1e-6)
    assert differing(moved(merged, checkpoints), expected) == 0


# --- mergekit: what differs by design ---------------------------------------------------------------------------------


def test_official_ties_keeps_one_entry_more_in_every_source(mergekit: Any, checkpoints: Any) -> None:
    merged = moved(mergekit(checkpoints.config("ties", each={"weight": EQUAL, "density": 0.2})), checkpoints)
    official = reference.per_tensor(reference.ties_official, checkpoints.vectors, density=0.2)
    tensors, entries = len(official), sum(values.size for values in official.values())
    assert 2 * tensors < differing(merged, official) * entries <= 4 * tensors  # at most one entry of each of 4 sources


def test_official_ties_has_the_model_as_its_scope(mergekit: Any, checkpoints: Any) -> None:
    merged = moved(mergekit(checkpoints.config("ties", each={"weight": EQUAL, "density": 0.2})), checkpoints)
    official = reference.over_all(reference.ties_official, checkpoints.vectors, density=0.2)
    assert differing(merged, official) == pytest.approx(0.062, abs=0.02)  # little: all deltas are alike here


def test_mergekit_elects_signs_after_it_weighted(mergekit: Any, checkpoints: Any) -> None:
    merged = moved(mergekit(checkpoints.config("ties", each={"weight": WEIGHTS, "density": 0.2})), checkpoints)
    by_number = reference.per_tensor(reference.ties_peft, checkpoints.vectors, WEIGHTS, density=0.2)
    signs = [np.sign(merged[name]) * np.sign(by_number[name]) < 0 for name in merged]
    opposite = sum(one.sum() for one in signs) / sum(one.size for one in signs)
    assert opposite == pytest.approx(0.04, abs=0.01)


def test_mergekit_rescales_dare_to_the_norm_before(mergekit: Any, checkpoints: Any) -> None:
    merged = moved(mergekit(checkpoints.config("dare_linear", each={"weight": WEIGHTS, "density": 0.1})), checkpoints)
    expected = {
        name: reference.task_arithmetic(reference.dare(values, mergekit.masks[name], 0.9), WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    biases = [name for name, values in checkpoints.vectors.items() if values[0].ndim == 1]
    small = distance({name: merged[name] for name in biases}, {name: expected[name] for name in biases})
    assert small == pytest.approx(0.48, abs=0.1)  # of 16 and 32 entries: their norm says little
    assert distance(merged, expected) == pytest.approx(0.21, abs=0.05)


def test_official_della_divides_every_entry_by_its_own_probability(mergekit: Any, checkpoints: Any) -> None:
    each = {"weight": WEIGHTS, "density": 0.5, "epsilon": 0.15}
    merged = moved(mergekit(checkpoints.config("della", each=each)), checkpoints)
    official = {
        name: reference.della_official(values, 1 - mergekit.masks[name].numpy(), WEIGHTS, density=0.5, epsilon=0.15)
        for name, values in checkpoints.vectors.items()
    }
    assert distance(merged, official) == pytest.approx(0.33, abs=0.05)


def test_official_breadcrumbs_is_by_row(mergekit: Any, checkpoints: Any) -> None:
    each = {"weight": EQUAL, "density": 0.5, "gamma": 0.1}
    merged = moved(mergekit(checkpoints.config("breadcrumbs", each=each)), checkpoints)
    official = reference.per_tensor(reference.breadcrumbs_official, checkpoints.vectors, EQUAL, density=0.5, gamma=0.1)
    assert differing(merged, official) == pytest.approx(0.43, abs=0.03)
    single = [name for name, values in checkpoints.vectors.items() if values[0].ndim == 1]
    assert differing({name: merged[name] for name in single}, {name: official[name] for name in single}) == 0


def test_sce_of_fuseai_merges_what_it_did_not_select(mergekit: Any, checkpoints: Any) -> None:
    merged = moved(mergekit(checkpoints.config("sce", select_topk=0.5)), checkpoints)
    fuseai = reference.per_tensor(reference.sce_fuseai, checkpoints.vectors, density=0.5)
    assert differing(merged, fuseai) == pytest.approx(0.5, abs=0.02)


def test_mergekit_s_sce_weighs_ordinary_fine_tuning_equally(mergekit: Any, near: Any) -> None:
    merged = moved(mergekit(near.config("sce")), near)
    equal = reference.per_tensor(reference.sce, near.vectors, least_energy=1e-6)
    paper = reference.per_tensor(reference.sce, near.vectors)
    assert distance(merged, equal) < 1e-3
    assert distance(merged, paper) == pytest.approx(0.04, abs=0.01)


def test_mergekit_s_model_stock_shrinks_small_task_vectors(mergekit: Any, near: Any) -> None:
    merged = moved(mergekit(near.config("model_stock")), near)
    floored = reference.per_tensor(reference.model_stock, near.vectors, least_product=1e-6)
    exact = reference.per_tensor(reference.model_stock, near.vectors)
    assert distance(merged, floored) < 0.02
    biases = [name for name, values in near.vectors.items() if values[0].ndim == 1]
    shrunk = length({name: merged[name] for name in biases}) / length({name: exact[name] for name in biases})
    assert shrunk == pytest.approx(0.23, abs=0.03)


def test_mergekit_s_karcher_loses_small_angles_in_float32(mergekit: Any, near: Any) -> None:
    merged = moved(mergekit(near.config("karcher", base=False)), near)
    weights = {name: np.stack([state[name] for state in near.expert_states]) for name in near.base_state}
    exact = added(reference.per_tensor(reference.karcher, weights), near)
    average = added(reference.per_tensor(reference.average, weights), near)
    assert distance(average, exact) < 0.005  # where the angles are small, the Karcher mean is the average
    assert distance(merged, exact) == pytest.approx(0.027, abs=0.01)


def test_mergekit_s_slerp_of_ordinary_fine_tuning_is_linear(mergekit: Any, near: Any) -> None:
    config = near.config("slerp", count=1, t=0.3)
    config["models"].insert(0, {"model": str(near.base)})
    linear = {name: 0.3 * values[0] for name, values in near.vectors.items()}
    assert differing(moved(mergekit(config), near), linear) == 0


# --- peft -------------------------------------------------------------------------------------------------------------


def test_peft_task_arithmetic(peft: Any, checkpoints: Any) -> None:
    found = peft("task_arithmetic", checkpoints.vectors, WEIGHTS)
    assert distance(found, reference.per_tensor(reference.task_arithmetic, checkpoints.vectors, WEIGHTS)) < 1e-12


@pytest.mark.parametrize("density", [0.2, 0.5])
def test_peft_ties(peft: Any, checkpoints: Any, density: float) -> None:
    found = peft("ties", checkpoints.vectors, WEIGHTS, density=density)
    expected = reference.per_tensor(reference.ties_peft, checkpoints.vectors, WEIGHTS, density=density)
    assert distance(found, expected) < 1e-12


def test_peft_magnitude_prune(peft: Any, checkpoints: Any) -> None:
    found = peft("magnitude_prune", checkpoints.vectors, WEIGHTS, density=0.3)
    expected = {
        name: reference.task_arithmetic(values * reference.keep_largest(values, int(0.3 * values[0].size)), WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    assert distance(found, expected) < 1e-12


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What torch.bernoulli draws from now on."""
    drawn: list[torch.Tensor] = []
    bernoulli: Callable[..., torch.Tensor] = torch.bernoulli

    def recorded(*args: Any, **kwargs: Any) -> torch.Tensor:
        drawn.append(bernoulli(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(torch, "bernoulli", recorded)
    return drawn


def by_tensor(masks: list[torch.Tensor], vectors: Mapping[str, Array]) -> dict[str, Array]:
    """Return [N, *shape] by tensor of masks drawn tensor by tensor, source by source."""
    drawn = iter(masks)
    return {name: np.stack([next(drawn).numpy() for _ in values]) for name, values in vectors.items()}


def test_peft_dare_linear(peft: Any, checkpoints: Any, masks: list[torch.Tensor]) -> None:
    found = peft("dare_linear", checkpoints.vectors, WEIGHTS, density=0.3)
    drawn = by_tensor(masks, checkpoints.vectors)
    expected = {
        name: reference.task_arithmetic(reference.dare(values, drawn[name], 0.7), WEIGHTS)
        for name, values in checkpoints.vectors.items()
    }
    assert distance(found, expected) < 1e-12


def test_peft_dare_ties(peft: Any, checkpoints: Any, masks: list[torch.Tensor]) -> None:
    found = peft("dare_ties", checkpoints.vectors, WEIGHTS, density=0.3)
    drawn = by_tensor(masks, checkpoints.vectors)
    expected = {
        name: reference.dare_ties_peft(values, drawn[name], WEIGHTS, density=0.3)
        for name, values in checkpoints.vectors.items()
    }
    assert distance(found, expected) < 1e-12


def test_peft_ties_with_weights_that_sum_to_one_is_a_quarter_of_the_official(peft: Any, checkpoints: Any) -> None:
    found = peft("ties", checkpoints.vectors, EQUAL, density=0.2)
    official = reference.per_tensor(reference.ties_official, checkpoints.vectors, density=0.2)
    assert length(found) / length(official) == pytest.approx(0.25, abs=0.005)


# --- By hand: what neither of the two has -----------------------------------------------------------------------------


def test_official_ties_by_hand() -> None:
    vectors = [[5.0, -4.0, 3.0, 1.0, 0.0], [3.0, 4.0, -5.0, -0.5, 0.0]]  # int(.4 · 5) + 1 = 3 stay
    assert reference.ties_official(vectors, density=0.4).tolist() == [4.0, -4.0, -5.0, 0.0, 0.0]


def test_official_ties_gives_balanced_entries_the_sign_of_most() -> None:
    vectors = [[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0]]
    assert reference.ties_official(vectors, density=1).tolist() == [1.0, 2.0, 3.0]
    assert reference.ties_official([[1.0, 2.0], [-1.0, -3.0]], density=1).tolist() == [-1.0, -3.0]
    assert reference.ties_official([[1.0], [-1.0]], density=1).tolist() == [-1.0]  # no sign has a majority


def test_model_stock_by_hand() -> None:
    assert reference.model_stock([[1.0, 0.0], [0.0, 1.0]]).tolist() == [0, 0]  # cos 0: nothing is in common
    assert reference.model_stock([[1.0, 0.0], [1.0, 0.0]]).tolist() == [1, 0]
    half = [np.cos(np.pi / 3), np.sin(np.pi / 3)]  # cos ½: t = 2·½ / (1 + ½) = ⅔
    assert reference.model_stock([[1.0, 0.0], half]) == pytest.approx(2 / 3 * np.mean([[1.0, 0.0], half], axis=0))


def test_karcher_of_two_is_the_middle_of_the_arc() -> None:
    middle = reference.karcher([[1.0, 0.0], [0.0, 3.0]])
    assert middle == pytest.approx([np.sqrt(2), np.sqrt(2)])
    assert reference.slerp([1.0, 0.0], [0.0, 1.0], 0.5) == pytest.approx([np.sqrt(0.5)] * 2)


def test_official_breadcrumbs_by_hand() -> None:
    vectors = np.array([[[5.0, -4.0, 3.0, 1.0], [0.1, 0.2, -0.4, 0.3]]])  # of 4: the largest goes, 2 stay
    expected = [[0.0, -4.0, 3.0, 0.0], [0.0, 0.2, 0.0, 0.3]]
    assert reference.breadcrumbs_official(vectors, density=0.5, gamma=0.25).tolist() == expected


def test_official_della_by_hand() -> None:
    vectors = np.array([[[1.0, -3.0, 2.0]], [[3.0, 1.0, 2.0]]])
    chance = reference.della_probabilities(vectors, density=0.5, epsilon=0.25)
    assert chance.tolist() == [[[0.25, 0.75, 0.5]], [[0.75, 0.25, 0.5]]]
    lots = np.array([[[0.2, 0.8, 0.4]], [[0.7, 0.3, 0.6]]])
    merged = reference.della_official(vectors, lots, density=0.5, epsilon=0.25)
    assert merged.tolist() == [[(1 / 0.25 + 3 / 0.75) / 2, 0.0, 2 / 0.5]]


def test_fisher_by_hand() -> None:
    assert reference.fisher([[1.0, 1.0], [3.0, 3.0]], [[1.0, 1.0], [1.0, 3.0]], least=0).tolist() == [2.0, 2.5]
    normed = reference.fisher([[1.0], [3.0]], [[1.0], [3.0]], least=0, norms=[1.0, 3.0])
    assert normed.tolist() == [2.0]  # each as certain as it is anywhere


def test_regmean_solves_the_least_squares_of_all_inputs() -> None:
    random = np.random.default_rng(0)
    inputs, layers = random.normal(size=(3, 40, 5)), random.normal(size=(3, 2, 5))
    grams = np.einsum("nti,ntj->nij", inputs, inputs)
    outputs = np.concatenate([x @ layer.T for x, layer in zip(inputs, layers, strict=True)])
    best = np.linalg.lstsq(inputs.reshape(-1, 5), outputs, rcond=None)[0].T
    assert reference.regmean(layers, grams, alpha=1) == pytest.approx(best)
    diagonal = np.einsum("nii->ni", grams)  # alpha 0: an average of columns weighted by their input's energy
    weighted = (layers * diagonal[:, None]).sum(axis=0) / diagonal.sum(axis=0)
    assert reference.regmean(layers, grams, alpha=0) == pytest.approx(weighted)


def test_consensus_by_hand() -> None:
    vectors = [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.1, 0.0]]
    masks = reference.tall_masks(vectors, threshold=0.4)
    assert masks.tolist() == [[True, True, False], [True, False, False], [True, False, False]]
    assert reference.consensus_task_arithmetic(vectors, threshold=0.4).tolist() == [3.0, 0.0, 0.0]


def test_iso_c_by_hand() -> None:
    vectors = np.array([np.diag([3.0, 1.0]), np.diag([3.0, 1.0])])  # singular values of the sum: 6 and 2
    assert reference.iso_c(vectors) == pytest.approx(4 * np.eye(2))
    assert reference.iso_c([[1.0], [2.0]]).tolist() == [1.5]


def test_tsv_m_by_hand() -> None:
    vectors = np.array([np.diag([3.0, 0.5]), np.diag([0.5, 2.0])])  # the first singular vector of each is its own axis
    assert reference.tsv_m(vectors) == pytest.approx(np.diag([3.0, 2.0]))
    equal = np.array([np.diag([3.0, 1.0])] * 2)  # twice the same axis: its polar factor is not unique
    assert reference.tsv_m(equal) == pytest.approx(np.diag([3.0, 0.0]))


def test_pcb_by_hand() -> None:
    vectors = [[4.0, -2.0, 1.0, 0.0], [4.0, 2.0, 0.0, 1.0]]  # 4 is clamped to 2, the third of four
    # scores e² · tanh 32, 0, √e · tanh 1, 0 and e² · tanh 32, 0, 0, √e · tanh 1: the third of four is 0 on the scale
    assert reference.pcb(vectors, ratio=0.5) == pytest.approx([2.0, 0.0, 0.0, 0.0])
    assert reference.pcb(vectors, ratio=0.75) == pytest.approx([2.0, 0.0, 1.0, 1.0])
    uneven = [[8.0, 8.0, 1.0, 0.0], [8.0, 8.0, 2.0, 0.0]]  # 8 is the third: nothing is clamped; scaled 1/8 and 1/4
    shares = np.exp([2 / 64, 2 / 16]) * np.tanh([3.0, 6.0]) / np.exp(2)
    assert reference.pcb(uneven, ratio=1)[2] == pytest.approx((shares * [1, 2]).sum() / shares.sum())


def test_emr_by_hand() -> None:
    unified, masks, rescalers = reference.emr([[1.0, -2.0, 3.0], [2.0, 1.0, 1.0]])
    assert unified.tolist() == [2.0, -2.0, 3.0]
    assert masks.tolist() == [[True, True, True], [True, False, True]]
    assert rescalers.tolist() == [6 / 7, 4 / 5]


def test_official_emr_rescalers_weigh_tensors_alike() -> None:
    vectors = {"bias": np.array([[1.0], [2.0]]), "matrix": np.array([[[1.0, 1.0]] * 50, [[1.0, 1.0]] * 50])}
    assert reference.emr_official_rescalers(vectors)[0] == pytest.approx((1 + 1) / (2 + 1))
    flat = np.concatenate([values.reshape(2, -1) for values in vectors.values()], axis=1)
    assert reference.emr(flat)[2][0] == pytest.approx(101 / 102)


def test_lines_by_hand() -> None:
    names = ["roberta.embeddings.w", "roberta.encoder.layer.0.w", "roberta.encoder.layer.2.w", "classifier.w"]
    scaled = reference.lines({name: [1.0] for name in names}, alpha=0.25, beta=0.5, blocks=3)
    assert [float(values[0]) for values in scaled.values()] == [0.25, 0.25, 0.75, 0.25]


def test_scopes_put_every_entry_back_in_its_place() -> None:
    vectors = {"b": np.arange(8.0).reshape(2, 4), "a": np.arange(12.0).reshape(2, 2, 3)}
    whole = reference.over_all(reference.task_arithmetic, vectors)
    for name, merged in reference.per_tensor(reference.task_arithmetic, vectors).items():
        assert whole[name].tolist() == merged.tolist()


def test_the_script_for_mergekit_imports_nothing_of_the_project() -> None:
    text = Path(__file__).with_name("mergekit_reference.py").read_text(encoding="utf-8")
    assert "import compute" not in text and "from compute" not in text
