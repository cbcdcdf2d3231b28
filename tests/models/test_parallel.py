from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compute.models.checkpoint import Checkpoint, digest
from compute.models.parallel import TEMPERATURE, ranking_loss, with_translations
from compute.models.recipes import Pretraining
from compute.models.train import pretrain

LOCALES = ["en-US", "sq-AL", "vi-VN"]


def draw(rows: list[int], ids: list[int], locales: list[str], weights: list[float], seed: int = 0) -> list[list[int]]:
    rng = torch.Generator().manual_seed(seed)
    pairs: list[list[int]] = with_translations(torch.tensor(rows), ids, locales, torch.tensor(weights), rng).tolist()
    return pairs


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20), st.integers(0, 99))
def test_a_pair_is_one_meaning_in_two_locales(rows: list[int], seed: int) -> None:
    ids = [7, 7, 7, 3, 3, 3, 9, 9, 9, 1, 1, 1]
    locales = LOCALES * 4

    pairs = draw(rows, ids, locales, [1.0] * 12, seed)

    assert [first for first, _ in pairs] == rows
    assert all(ids[first] == ids[second] for first, second in pairs)
    assert all(locales[first] != locales[second] for first, second in pairs)


def test_translations_are_drawn_with_the_weights_of_their_locales() -> None:
    pairs = draw([0] * 3000, [7, 7, 7], LOCALES, [1.0, 0.25, 0.75])

    share = sum(second == 2 for _, second in pairs) / 3000
    assert share == pytest.approx(0.75, abs=0.03)
    assert {second for _, second in draw([0] * 50, [7, 7, 7], LOCALES, [1.0, 0.0, 1.0])} == {2}


def test_a_text_without_a_translation_is_named_by_its_id() -> None:
    with pytest.raises(ValueError, match="id 8 is in no other locale"):
        draw([0, 2], [7, 7, 8], ["en-US", "sq-AL", "en-US"], [1.0, 1.0, 1.0])


def test_the_ranking_loss_by_hand() -> None:
    # two texts along the axes, each translation right on its text: cosines 1 and 0
    hidden = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    expected = math.log(1 + math.exp(-1 / TEMPERATURE))

    found = ranking_loss(hidden, torch.ones(4, 1), torch.tensor([1, 2]))

    assert float(found) == pytest.approx(expected, rel=1e-3)
    swapped = ranking_loss(hidden[[0, 1, 3, 2]], torch.ones(4, 1), torch.tensor([1, 2]))
    assert float(swapped) == pytest.approx(expected + 1 / TEMPERATURE, rel=1e-3)


def test_padding_and_texts_of_one_meaning_are_no_strangers() -> None:
    hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1.0, 1.0, 0.0]] * 6)
    changed = hidden.clone()
    changed[:, 2] = 99.0

    alone = ranking_loss(hidden, mask, torch.tensor([1, 2, 3]))
    twice = ranking_loss(hidden, mask, torch.tensor([1, 2, 1]))

    assert torch.equal(alone, ranking_loss(changed, mask, torch.tensor([1, 2, 3])))
    assert float(twice) < float(alone)


def test_alignment_brings_translations_together_and_needs_ids(fresh: Checkpoint) -> None:
    texts = [
        "wake me at five",
        "play some jazz",
        "what time is it",
        "më zgjo në pesë",
        "luaj pak xhaz",
        "sa është ora",
    ]
    labels, locales, ids = ["alarm", "music", "time"] * 2, ["en-US"] * 3 + ["sq-AL"] * 3, [1, 2, 3] * 2
    recipe = Pretraining(steps=100, batch=6, learning_rate=2e-3, alignment=1.0)

    trained = pretrain(fresh, texts, labels, locales, recipe, seed=0, ids=ids)
    again = pretrain(fresh, texts, labels, locales, recipe, seed=0, ids=ids)

    assert _ranking(trained, texts) < _ranking(fresh, texts) / 2
    assert digest(trained.tensors) == digest(again.tensors)
    with pytest.raises(ValueError, match="alignment needs the ids"):
        pretrain(fresh, texts, labels, locales, recipe, seed=0)


def _ranking(model: Checkpoint, texts: list[str]) -> float:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.tokenizer)
    tokenizer.enable_padding(pad_id=model.pad_id)
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([encoding.ids for encoding in encoded])
    mask = torch.tensor([encoding.attention_mask for encoding in encoded])
    with torch.inference_mode():
        output = model.network()(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return float(ranking_loss(output.hidden_states[-1], mask, torch.tensor([1, 2, 3])))
