from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from compute.models import build
from compute.models.batches import batches
from compute.models.checkpoint import Checkpoint, digest
from compute.models.ridge_head import features, ridge_head

TEXTS = ["wake me at five", "play some jazz", "what time is it", "më zgjo në pesë", "luaj pak xhaz", "sa është ora"]
INTENTS = ["alarm", "music", "time"] * 2
UNEVEN = ["alarm", "music", "alarm", "alarm", "music", "alarm"]
WEIGHT, BIAS = "classifier.out_proj.weight", "classifier.out_proj.bias"


def test_features_are_what_the_last_layer_gets_in_the_order_of_the_texts(fresh: Checkpoint) -> None:
    found = features(fresh, TEXTS, batch=4)

    network = fresh.network()
    for text, row in zip(TEXTS, found, strict=True):
        part = next(batches(fresh, [text], 1))
        hidden = network.roberta(input_ids=part.ids, attention_mask=part.mask).last_hidden_state[0, 0]
        torch.testing.assert_close(row, network.classifier.dense(hidden).tanh().detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
@pytest.mark.parametrize("labels", [INTENTS, UNEVEN])
def test_the_head_is_the_least_squares_solution_of_the_augmented_system(
    fresh: Checkpoint, labels: list[str], ridge: float
) -> None:
    model = _double(fresh)

    found = ridge_head(model, TEXTS, labels, ridge=ridge)

    known = features(model, TEXTS).numpy()
    targets = np.array([[1.0 if name == label else -1.0 for name in model.labels] for label in labels])
    share = ridge * known.var(axis=0).sum() * len(known) / known.shape[1]
    penalty = np.hstack([np.sqrt(share) * np.eye(known.shape[1]), np.zeros((known.shape[1], 1))])
    system = np.vstack([np.hstack([known, np.ones((len(known), 1))]), penalty])
    wanted = np.vstack([targets, np.zeros((known.shape[1], targets.shape[1]))])
    solution = np.linalg.lstsq(system, wanted, rcond=None)[0]
    np.testing.assert_allclose(found[WEIGHT].numpy(), solution[:-1].T, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[BIAS].numpy(), solution[-1], rtol=1e-6, atol=1e-8)


def test_a_head_on_separable_features_names_every_class(fresh: Checkpoint) -> None:
    model = build.with_head(fresh, INTENTS, seed=8)

    head = ridge_head(model, TEXTS, INTENTS, ridge=1e-3)

    fitted = dataclasses.replace(model, tensors={**model.tensors, **head})
    named = []
    for part in batches(fitted, TEXTS, 6, by_length=False):
        scores = fitted.network()(input_ids=part.ids, attention_mask=part.mask).logits
        named += [fitted.labels[number] for number in scores.argmax(dim=1).tolist()]
    assert named == INTENTS


def test_the_order_of_texts_the_batches_and_repetitions_change_nothing(fresh: Checkpoint) -> None:
    model = _double(fresh)
    whole = ridge_head(model, TEXTS, UNEVEN, ridge=0.1)

    _assert_close(ridge_head(model, TEXTS[::-1], UNEVEN[::-1], ridge=0.1), whole)
    _assert_close(ridge_head(model, TEXTS, UNEVEN, ridge=0.1, batch=1), whole)
    _assert_close(ridge_head(model, TEXTS * 3, UNEVEN * 3, ridge=0.1), whole)


def test_a_class_without_texts_is_never_named_first(fresh: Checkpoint) -> None:
    head = ridge_head(fresh, TEXTS, UNEVEN, ridge=0.1)

    assert fresh.labels[2] == "time"
    torch.testing.assert_close(head[WEIGHT][2], torch.zeros(32), rtol=0, atol=1e-6)
    assert float(head[BIAS][2]) == pytest.approx(-1)


def test_the_head_has_the_models_type_and_leaves_the_model_and_the_random_generator(fresh: Checkpoint) -> None:
    half = dataclasses.replace(fresh, tensors={name: t.bfloat16() for name, t in fresh.tensors.items()})
    before, state = digest(half.tensors), torch.get_rng_state()

    head = ridge_head(half, TEXTS, INTENTS, ridge=0.1)

    assert {name: (tensor.dtype, tensor.shape) for name, tensor in head.items()} == {
        WEIGHT: (torch.bfloat16, (3, 32)),
        BIAS: (torch.bfloat16, (3,)),
    }
    assert digest(half.tensors) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_labels_and_penalties_are_named(fresh: Checkpoint) -> None:
    with pytest.raises(ValueError, match="2 labels for 6 texts"):
        ridge_head(fresh, TEXTS, INTENTS[:2], ridge=0.1)
    with pytest.raises(ValueError, match="no class 'rain'"):
        ridge_head(fresh, TEXTS, ["rain"] * 6, ridge=0.1)
    with pytest.raises(ValueError, match="ridge is a share"):
        ridge_head(fresh, TEXTS, INTENTS, ridge=0.0)
    with pytest.raises(ValueError, match="no texts"):
        ridge_head(fresh, [], [], ridge=0.1)


def test_another_head_than_robertas_is_named(fresh: Checkpoint) -> None:
    class Headless(Checkpoint):
        def network(self) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

    with pytest.raises(ValueError, match=r"a Linear has no layer classifier\.out_proj"):
        features(Headless(fresh.config, fresh.tensors, fresh.tokenizer), TEXTS)


def _double(model: Checkpoint) -> Checkpoint:
    return dataclasses.replace(model, tensors={name: tensor.double() for name, tensor in model.tensors.items()})


def _assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
