from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from compute.models.batches import batches
from compute.models.checkpoint import Checkpoint, with_labels
from compute.models.grams import grams

TEXTS = ["wake me at five", "play some jazz", "what time is it", "jazz", "sa është ora"]


class TwoLayers(Checkpoint):
    """Words have given vectors; one layer sees words, one the sum over a text's words, and one nothing."""

    def network(self) -> nn.Module:
        network = Layers()
        network.load_state_dict(self.tensors)
        return network.eval()


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.known = nn.Buffer(torch.zeros(5, 2))
        with torch.random.fork_rng(devices=[]):
            self.first, self.second, self.idle = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(3, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        words = self.first(self.known[input_ids]) * attention_mask[:, :, None]
        return SimpleNamespace(logits=self.second(words.sum(dim=1)))


def test_two_layers_have_the_products_worked_by_hand() -> None:
    words = json.dumps(
        {
            "version": "1.0",
            "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "<pad>": 1, "a": 2, "b": 3}, "unk_token": "<unk>"},
            "pre_tokenizer": {"type": "Whitespace"},
        }
    )
    tensors = {
        "known": torch.tensor([[0.0, 0.0], [9.0, 9.0], [1.0, 2.0], [3.0, -1.0], [0.0, 0.0]]),
        "first.weight": torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        "first.bias": torch.tensor([0.0, 1.0]),
        **{f"{name}.weight": torch.zeros(size, size) for name, size in (("second", 2), ("idle", 3))},
        **{f"{name}.bias": torch.zeros(size) for name, size in (("second", 2), ("idle", 3))},
    }
    config = with_labels({"max_position_embeddings": 12, "pad_token_id": 1}, ["x", "y"])
    toy = TwoLayers(config, tensors, words)

    found = grams(toy, ["a", "b a a"])

    # the words are a, b, a, a; a becomes (1, 4) and b (3, 3), so the texts are (1, 4) and (5, 11)
    assert found.keys() == {"first.weight", "second.weight"}
    assert found["first.weight"].tolist() == [[12.0, 3.0], [3.0, 13.0]]
    assert found["second.weight"].tolist() == [[26.0, 59.0], [59.0, 137.0]]
    means = grams(toy, ["a", "b a a"], mean=True)
    assert torch.equal(means["first.weight"], found["first.weight"] / 4)
    assert torch.equal(means["second.weight"], found["second.weight"] / 2)


def test_every_linear_layer_has_the_products_of_its_inputs_over_real_tokens(fresh: Checkpoint) -> None:
    found = grams(fresh, TEXTS, batch=5)

    inputs = _inputs(fresh, TEXTS)
    names = {name for name, tensor in fresh.tensors.items() if tensor.ndim == 2 and "embeddings" not in name}
    assert found.keys() == names
    assert len(inputs["roberta.encoder.layer.1.output.dense.weight"]) > len(inputs["classifier.dense.weight"]) == 5
    for name, rows in inputs.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), rows.T @ rows, rtol=1e-4, atol=1e-4, msg=name)


def test_the_classifiers_layers_see_the_first_token(fresh: Checkpoint) -> None:
    found = grams(fresh, TEXTS, batch=2)

    network, rows = fresh.network(), []
    for part in batches(fresh, TEXTS, 1):
        hidden = network.roberta(input_ids=part.ids, attention_mask=part.mask).last_hidden_state
        rows.append(hidden[0, 0].detach())
    first = torch.stack(rows)
    last = network.classifier.dense(first).tanh().detach()
    torch.testing.assert_close(found["classifier.dense.weight"], first.T @ first, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["classifier.out_proj.weight"], last.T @ last, rtol=1e-4, atol=1e-4)


def test_the_size_of_batches_and_the_order_of_texts_change_nothing(fresh: Checkpoint) -> None:
    whole = grams(fresh, TEXTS, batch=5)

    torch.testing.assert_close(grams(fresh, TEXTS, batch=1), whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grams(fresh, TEXTS[::-1], batch=2), whole, rtol=1e-5, atol=1e-5)


def test_the_random_generator_stays_and_no_texts_are_an_error(fresh: Checkpoint) -> None:
    state = torch.get_rng_state()

    grams(fresh, TEXTS)

    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="no texts"):
        grams(fresh, [])


def _inputs(model: Checkpoint, texts: list[str]) -> dict[str, Tensor]:
    """Run one text at a time, without padding, and keep what every linear layer gets."""
    network, seen = model.network().double(), {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            rows = seen.setdefault(f"{name}.weight", [])
            layer.register_forward_hook(
                lambda _, given, __, rows=rows: rows.append(given[0].detach().reshape(-1, given[0].shape[-1]))
            )
    for part in batches(model, texts, 1):
        network(input_ids=part.ids, attention_mask=part.mask)
    return {name: torch.cat(rows) for name, rows in seen.items()}
