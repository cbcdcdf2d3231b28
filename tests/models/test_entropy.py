from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from compute.models.batches import batches
from compute.models.checkpoint import Checkpoint, digest
from compute.models.entropy import EntropyObjective

TEXTS = ["wake me at five", "play some jazz", "what time is it", "jazz", "sa është ora"]


def test_the_entropy_is_the_mean_over_the_texts_of_a_step(fresh: Checkpoint) -> None:
    objective = EntropyObjective(fresh, TEXTS, batch=3)

    entropy, _ = objective(fresh.tensors, 0)

    network, expected = fresh.network(), []
    for number in objective.texts_of(0):
        part = next(batches(fresh, [TEXTS[number]], 1))
        p = network(input_ids=part.ids, attention_mask=part.mask).logits[0].detach().softmax(dim=0)
        expected.append(float(-(p * p.log()).sum()))
    assert entropy == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert 0 < entropy < math.log(3)


def test_the_gradient_is_that_of_finite_differences(fresh: Checkpoint) -> None:
    objective = EntropyObjective(fresh, TEXTS, batch=4, seed=2)
    weights = _spread(fresh)

    _, gradient = objective(weights, 1)

    assert gradient.keys() == weights.keys()
    rng, step = torch.Generator().manual_seed(0), 1e-6
    for name, tensor in weights.items():
        direction = torch.randn(tensor.shape, generator=rng, dtype=torch.float64)
        up, _ = objective({**weights, name: tensor + step * direction}, 1)
        down, _ = objective({**weights, name: tensor - step * direction}, 1)
        slope = float((gradient[name] * direction).sum())
        assert gradient[name].dtype == torch.float64
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-9), name


def test_the_same_seed_and_step_give_the_same_bytes_whatever_came_before(fresh: Checkpoint) -> None:
    one, two = (EntropyObjective(fresh, TEXTS, seed=7, batch=2) for _ in range(2))
    state, before = torch.get_rng_state(), digest(fresh.tensors)

    for step in range(3):
        one(fresh.tensors, step)
    first, second = one(fresh.tensors, 1), two(fresh.tensors, 1)

    assert first[0] == second[0]
    assert digest(first[1]) == digest(second[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert digest(fresh.tensors) == before
    assert not any(tensor.requires_grad for tensor in fresh.tensors.values())


def test_every_text_comes_once_before_any_comes_again(fresh: Checkpoint) -> None:
    objective = EntropyObjective(fresh, TEXTS, seed=1, batch=2)

    drawn = [number for step in range(10) for number in objective.texts_of(step)]

    rounds = [drawn[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(numbers) == [0, 1, 2, 3, 4] for numbers in rounds)
    assert len({tuple(numbers) for numbers in rounds}) > 1
    assert EntropyObjective(fresh, TEXTS, seed=2, batch=5).texts_of(0) != rounds[0]
    assert sorted(EntropyObjective(fresh, TEXTS, batch=99).texts_of(3)) == [0, 1, 2, 3, 4]


def test_weights_that_are_not_given_are_the_models_own_and_integers_are_passed_over(fresh: Checkpoint) -> None:
    objective = EntropyObjective(fresh, TEXTS)
    name = "classifier.out_proj.bias"

    part, gradient = objective({name: fresh.tensors[name].bfloat16(), "steps": torch.tensor(3)}, 0)

    whole, gradients = objective(fresh.tensors, 0)
    assert part == pytest.approx(whole, rel=1e-6)
    assert gradient.keys() == {name}
    assert gradient[name].dtype == torch.float32
    torch.testing.assert_close(gradient[name], gradients[name])


def test_weights_that_the_network_does_not_have_and_no_texts_are_named(fresh: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"no weight 'lm_head.bias', nor 0 more"):
        EntropyObjective(fresh, TEXTS)({"lm_head.bias": torch.zeros(2)}, 0)
    with pytest.raises(ValueError, match="no texts"):
        EntropyObjective(fresh, [])


def _spread(model: Checkpoint) -> dict[str, Tensor]:
    """Make weights large enough for unequal probabilities, and so for slopes above rounding."""
    rng = torch.Generator().manual_seed(1)
    return {
        name: tensor.double() + 0.3 * torch.randn(tensor.shape, generator=rng, dtype=torch.float64)
        for name, tensor in model.tensors.items()
    }
