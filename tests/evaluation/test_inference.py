from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaForSequenceClassification

from compute.evaluation.inference import encode, logits, predict

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(f"w{number}" for number in range(40))]


@dataclass(frozen=True)
class Tiny:
    """An untrained XLM-R whose weights are large enough to tell texts apart."""

    labels: tuple[str, ...] = ("a", "b", "c", "d")
    max_length: int = 12
    pad_id: int = 1

    @cached_property
    def tokenizer(self) -> str:
        words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        return str(words.to_str())

    @cached_property
    def _network(self) -> PreTrainedModel:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        config = XLMRobertaConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=14,
            num_labels=4,
            initializer_range=0.5,
            pad_token_id=1,
            type_vocab_size=1,
        )
        return XLMRobertaForSequenceClassification(config).eval()

    def network(self) -> PreTrainedModel:
        return self._network


MODEL = Tiny()
texts = st.lists(st.lists(st.sampled_from(WORDS[5:]), max_size=15).map(" ".join), max_size=20)


def alone(text: str) -> np.ndarray:
    """The logits of one text, by transformers, without batches and without padding."""
    ids = torch.tensor(encode(MODEL.tokenizer, [text], MODEL.max_length))
    with torch.inference_mode():
        found: np.ndarray = MODEL.network()(input_ids=ids).logits.numpy()[0]
    return found


@settings(deadline=None, max_examples=40)
@given(texts, st.integers(1, 9))
def test_a_text_gets_the_same_logits_whatever_it_is_batched_with(texts: list[str], batch_size: int) -> None:
    found = logits(MODEL, texts, batch_size=batch_size)

    assert found.shape == (len(texts), 4)
    assert found.dtype == np.float32
    for row, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(row, alone(text), atol=2e-5)


@settings(deadline=None, max_examples=20)
@given(texts, st.randoms())
def test_predictions_follow_the_order_of_the_texts(texts: list[str], random: object) -> None:
    order = np.random.default_rng(len(texts)).permutation(len(texts))

    shuffled = predict(MODEL, [texts[index] for index in order])

    assert shuffled.tolist() == predict(MODEL, texts)[order].tolist()


def test_different_texts_get_different_logits_so_that_the_order_is_tested() -> None:
    found = logits(MODEL, ["w1 w2", "w3", "w4 w5 w6 w7"])

    assert abs(found[0] - found[1]).max() > 0.1
    assert abs(found[1] - found[2]).max() > 0.1


def test_token_ids_may_be_given_instead_of_texts() -> None:
    texts = ["w1 w2", "w3"]

    encoded = encode(MODEL.tokenizer, texts, MODEL.max_length)

    assert encoded == [[0, 6, 7, 2], [0, 8, 2]]
    assert (logits(MODEL, encoded) == logits(MODEL, texts)).all()


def test_long_texts_are_cut_to_the_length_and_keep_their_end_token() -> None:
    encoded = encode(MODEL.tokenizer, ["w1 " * 30, "w2"], 6)

    assert [len(row) for row in encoded] == [6, 3]
    assert encoded[0][-1] == 2


def test_a_tokenizer_that_pads_by_itself_does_not() -> None:
    words = json.loads(MODEL.tokenizer)
    words["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip

    assert encode(json.dumps(words), ["w1"], 12) == [[0, 6, 2]]


@pytest.mark.parametrize("nothing", [[], ()])
def test_no_texts_give_no_predictions(nothing: list[str]) -> None:
    assert logits(MODEL, nothing).shape == (0, 4)
    assert predict(MODEL, nothing).shape == (0,)
