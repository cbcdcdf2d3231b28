from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compute.models.batches import batches
from compute.models.checkpoint import Checkpoint, digest, with_labels
from compute.models.fisher import fisher

TEXTS = ["wake me at five", "play some jazz", "what time is it", "jazz", "sa është ora"]
WORDS = ["ant", "bee", "cow", "doe"]


class Toy(Checkpoint):
    """A checkpoint of a network that is no transformer."""

    def network(self) -> Any:
        return _network(self.config["kind"], self.tensors)


class SoftmaxRegression(nn.Module):
    """Classes of a text by the given features of its first word."""

    def __init__(self, known: Tensor, classes: int):
        super().__init__()
        self.known = nn.Buffer(known)
        self.layer = nn.Linear(known.shape[1], classes, dtype=known.dtype)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.layer(self.known[input_ids[:, 0]]))


class Shared(nn.Module):
    """One layer twice, a weight of two names, a weight outside of any layer, and one row a batch that is no text."""

    def __init__(self, known: Tensor, classes: int):
        super().__init__()
        self.words = nn.Embedding(*known.shape, padding_idx=1)
        self.twice = nn.Linear(known.shape[1], known.shape[1])
        self.one = nn.Linear(known.shape[1], classes)
        self.other = nn.Linear(known.shape[1], classes)
        self.other.weight = self.one.weight
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.constant = nn.Embedding(1, known.shape[1])
        self.idle = nn.Linear(2, 2)
        self.double()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        hidden = self.words(input_ids) + self.constant(torch.zeros(1, input_ids.shape[1], dtype=torch.long))
        hidden = self.twice(self.twice(hidden).tanh()).tanh() * attention_mask[:, :, None]
        pooled = hidden.sum(dim=1)
        return SimpleNamespace(logits=self.one(pooled) + self.other(pooled**2) * self.scale)


def test_softmax_regression_has_the_fisher_information_of_the_textbook() -> None:
    toy = _toy("SoftmaxRegression")
    texts = ["ant", "bee", "cow", "ant"]

    found = fisher(toy, texts, batch=3)

    x = toy.tensors["known"][[_word(text) for text in texts]]
    p = (x @ toy.tensors["layer.weight"].T + toy.tensors["layer.bias"]).softmax(dim=1)
    variance = p * (1 - p)
    assert found.keys() == {"layer.weight", "layer.bias"}
    torch.testing.assert_close(found["layer.bias"].double(), variance.mean(dim=0), rtol=1e-6, atol=1e-7)
    expected = (variance[:, :, None] * x[:, None, :] ** 2).mean(dim=0)
    torch.testing.assert_close(found["layer.weight"].double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_parameter_has_the_mean_of_its_squared_gradients_text_by_text(fresh: Checkpoint, batch: int) -> None:
    model = _double(fresh)

    found = fisher(model, TEXTS, batch=batch)

    expected = _text_by_text(model, TEXTS)
    assert found.keys() == fresh.tensors.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-12, msg=name)


@pytest.mark.parametrize("batch", [1, 3])
def test_shared_layers_and_loose_weights_are_exact_as_well(batch: int) -> None:
    toy, texts = _toy("Shared"), ["ant bee bee", "cow", "doe ant"]

    found = fisher(toy, texts, batch=batch)

    expected = _text_by_text(toy, texts)
    assert found.keys() == toy.tensors.keys()
    assert torch.equal(found["one.weight"], found["other.weight"])
    assert not found["idle.weight"].any()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-12, msg=name)


@pytest.mark.parametrize("together", [2, 1])
def test_gradients_that_do_not_fit_together_are_squared_in_parts(
    fresh: Checkpoint, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fisher(fresh, TEXTS, batch=5)
    monkeypatch.setattr("compute.models.squares.CACHE", together * 32 * 32)

    _assert_close(fisher(fresh, TEXTS, batch=5), whole)


def test_drawn_labels_have_the_true_fisher_information_as_their_mean_in_batches_of_any_size() -> None:
    toy, texts = _toy("SoftmaxRegression"), ["ant", "bee", "cow"]

    drawn = fisher(toy, texts, samples=4000, seed=1)

    _assert_close(fisher(toy, texts, samples=7, seed=3, batch=1), fisher(toy, texts, samples=7, seed=3, batch=3))
    assert digest(fisher(toy, texts, samples=7, seed=3)) != digest(fisher(toy, texts, samples=7, seed=4))
    torch.testing.assert_close(drawn, fisher(toy, texts), rtol=0.1, atol=1e-4)


def test_the_empirical_kind_takes_the_given_label_or_else_the_predicted_one(fresh: Checkpoint) -> None:
    model = _double(fresh)
    predicted = [model.labels[int(_logits(model, text).argmax())] for text in TEXTS]
    others = ["music", "time", "alarm", "time", "music"]

    _assert_close(fisher(model, TEXTS, kind="empirical"), fisher(model, TEXTS, kind="empirical", labels=predicted))
    found = fisher(model, TEXTS, kind="empirical", labels=others, batch=2)

    expected = _text_by_text(model, TEXTS, others)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-12, msg=name)


def test_batch_sums_square_the_gradient_of_a_whole_batch_as_mergelm_does(fresh: Checkpoint) -> None:
    model = _double(fresh)

    found = fisher(model, TEXTS[:4], kind="batch_sum", batch=2)

    network = model.network()
    expected = {name: torch.zeros_like(tensor) for name, tensor in model.tensors.items()}
    for part in batches(model, TEXTS[:4], 2, by_length=False):
        network.zero_grad()
        scores = network(input_ids=part.ids, attention_mask=part.mask).logits.log_softmax(dim=1)
        (scores.detach().exp().sqrt() * scores).sum().backward()
        for name, parameter in network.named_parameters():
            expected[name] += parameter.grad**2 / 4
    _assert_close(found, {name: tensor.float() for name, tensor in expected.items()})
    assert digest(found) != digest(fisher(model, TEXTS[:4], kind="batch_sum", batch=4))


def test_half_precision_weights_compute_in_float32_and_nothing_else_changes(fresh: Checkpoint) -> None:
    half = dataclasses.replace(fresh, tensors={name: t.bfloat16() for name, t in fresh.tensors.items()})
    rounded = dataclasses.replace(fresh, tensors={name: t.float() for name, t in half.tensors.items()})
    before, state, threads = digest(half.tensors), torch.get_rng_state(), torch.get_num_threads()

    with torch.no_grad():
        found = fisher(half, TEXTS)

    _assert_close(found, fisher(rounded, TEXTS))
    assert digest(half.tensors) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "false"}, "kind 'false': expected true, empirical or batch_sum"),
        ({"samples": 0}, "samples is a number of labels"),
        ({"samples": 2, "kind": "empirical"}, "samples is a number of labels"),
        ({"labels": ["time"] * 5}, "labels are for the empirical kind"),
        ({"labels": ["time"], "kind": "empirical"}, "1 of 5"),
        ({"labels": ["rain"] * 5, "kind": "empirical"}, "no class 'rain'"),
    ],
)
def test_options_that_make_no_sense_are_named(fresh: Checkpoint, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fisher(fresh, TEXTS, **options)


def test_no_texts_are_an_error(fresh: Checkpoint) -> None:
    with pytest.raises(ValueError, match="no texts"):
        fisher(fresh, [])


def _text_by_text(model: Checkpoint, texts: list[str], labels: list[str] | None = None) -> dict[str, Tensor]:
    """Loop over texts and classes, one gradient at a time, without padding."""
    network = model.network()
    named = dict(network.named_parameters(remove_duplicate=False))
    total = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    for number, part in enumerate(batches(model, texts, 1, by_length=False)):
        scores = network(input_ids=part.ids, attention_mask=part.mask).logits.log_softmax(dim=1)[0]
        shares = scores.detach().exp()
        if labels is not None:
            shares = torch.tensor([float(name == labels[number]) for name in model.labels])
        for share, score in zip(shares, scores, strict=True):
            gradients = torch.autograd.grad(
                score, list(named.values()), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for name, gradient in zip(named, gradients, strict=True):
                total[name] += share * gradient**2 / len(texts)
    return total


def _logits(model: Checkpoint, text: str) -> Tensor:
    part = next(batches(model, [text], 1))
    return model.network()(input_ids=part.ids, attention_mask=part.mask).logits[0]


def _assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)


def _double(model: Checkpoint) -> Checkpoint:
    return dataclasses.replace(model, tensors={name: tensor.double() for name, tensor in model.tensors.items()})


def _toy(kind: str) -> Toy:
    words = {word: number for number, word in enumerate(["<unk>", "<pad>", *WORDS])}
    tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}}
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    config = with_labels({"kind": kind, "max_position_embeddings": 12, "pad_token_id": 1}, ["x", "y", "z"])
    rng = torch.Generator().manual_seed(4)
    shapes = {name: tensor.shape for name, tensor in _network(kind, {}).state_dict().items()}
    drawn = {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
    if kind == "Shared":
        drawn["other.weight"] = drawn["one.weight"]
    return Toy(config, drawn, json.dumps(tokenizer))


def _word(text: str) -> int:
    return 2 + WORDS.index(text)


def _network(kind: str, tensors: dict[str, Tensor]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network = {"SoftmaxRegression": SoftmaxRegression, "Shared": Shared}[kind](
            torch.zeros(2 + len(WORDS), 5, dtype=torch.float64), 3
        )
    if tensors:
        network.load_state_dict(tensors)
    return network.eval()
