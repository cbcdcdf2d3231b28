from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedModel, XLMRobertaConfig, XLMRobertaForSequenceClassification

from compute.evaluation.inference import PADDING, Encoded, Ready, _cuts, encode, logits, reading

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

    def network(self) -> PreTrainedModel:
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


MODEL = Tiny()
NETWORK = MODEL.network()
READY = Ready(MODEL)
texts = st.lists(st.lists(st.sampled_from(WORDS[5:]), max_size=15).map(" ".join), max_size=20)


def read(texts: list[str], max_length: int = MODEL.max_length) -> Encoded:
    return encode(MODEL.tokenizer, texts, max_length)


def alone(text: str) -> np.ndarray:
    """The logits of one text, by transformers, without batches and without padding."""
    ids = torch.tensor(read([text]).tokens[None])
    with torch.inference_mode():
        found: np.ndarray = NETWORK(input_ids=ids).logits.numpy()[0]
    return found


@settings(deadline=None, max_examples=25)
@given(texts, st.integers(1, 9))
def test_a_text_gets_the_same_logits_whatever_it_is_batched_with(texts: list[str], batch_size: int) -> None:
    found = READY.logits(read(texts), batch_size=batch_size)

    assert found.shape == (len(texts), 4)
    assert found.dtype == np.float32
    for row, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(row, alone(text), atol=2e-5)


@settings(deadline=None, max_examples=25)
@given(texts.filter(len))
def test_the_rows_of_the_words_that_occur_give_the_very_bits_of_all_rows(texts: list[str]) -> None:
    order, ranked = read(texts).sorted()
    found = READY.logits(read(texts))[order]
    for start, stop in _cuts(ranked.lengths.tolist(), 64):
        rows = [torch.tensor(row) for row in ranked.rows()[start:stop]]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1)
        with torch.inference_mode():
            whole = NETWORK(input_ids=ids, attention_mask=(ids != 1).long()).logits.numpy()
        assert (found[start:stop] == whole).all()


@given(st.lists(st.integers(1, 60)).map(sorted), st.integers(1, 9))
def test_batches_hold_every_text_once_are_not_too_large_and_little_of_them_is_padding(
    lengths: list[int], size: int
) -> None:
    cuts = list(_cuts(lengths, size))

    assert [place for start, stop in cuts for place in range(start, stop)] == list(range(len(lengths)))
    for start, stop in cuts:
        assert 0 < stop - start <= size
        assert lengths[stop - 1] * (stop - start) - sum(lengths[start:stop]) <= PADDING


def test_only_the_rows_that_occur_are_taken_along_and_the_model_keeps_its_own() -> None:
    ready = Ready(MODEL)
    ready.logits(read(["w1 w2", "w30"]))

    taken = ready._network.get_input_embeddings().weight
    assert taken.shape[0] == 3 + 3, "the ids up to the highest special one, and the three that occur"
    assert (ready._network.get_input_embeddings().weight[-1] == NETWORK.get_input_embeddings().weight[35]).all()
    np.testing.assert_allclose(ready.logits(read(["w39"]))[0], alone("w39"), atol=2e-5)


def test_bfloat16_gives_other_logits_close_by_and_leaves_the_model_as_it_was() -> None:
    words = [f"w{number} w{number + 1}" for number in range(20)]
    exact = READY.logits(read(words))

    rounded = logits(MODEL, words, dtype="bfloat16")

    assert rounded.dtype == np.float32
    assert 0 < abs(rounded - exact).max() < 0.1 * abs(exact).max()
    assert (READY.logits(read(words)) == exact).all()


@settings(deadline=None, max_examples=20)
@given(texts)
def test_logits_follow_the_order_of_the_texts(texts: list[str]) -> None:
    order = np.random.default_rng(len(texts)).permutation(len(texts))

    shuffled = READY.logits(read([texts[index] for index in order]))

    np.testing.assert_allclose(shuffled, READY.logits(read(texts))[order], atol=2e-5)


def test_different_texts_get_different_logits_so_that_the_order_is_tested() -> None:
    found = logits(MODEL, ["w1 w2", "w3", "w4 w5 w6 w7"])

    assert abs(found[0] - found[1]).max() > 0.1
    assert abs(found[1] - found[2]).max() > 0.1


def test_encoded_texts_lie_in_a_row() -> None:
    encoded = read(["w1 w2", "w3"])

    assert (encoded.tokens.tolist(), encoded.lengths.tolist()) == ([0, 6, 7, 2, 0, 8, 2], [4, 3])
    assert [row.tolist() for row in encoded.rows()] == [[0, 6, 7, 2], [0, 8, 2]]
    order, ranked = encoded.sorted()
    assert (order.tolist(), ranked.tokens.tolist()) == ([1, 0], [0, 8, 2, 0, 6, 7, 2])


def test_long_texts_are_cut_to_the_length_and_keep_their_end_token() -> None:
    encoded = read(["w1 " * 30, "w2"], 6)

    assert encoded.lengths.tolist() == [6, 3]
    assert encoded.rows()[0][-1] == 2


def padding_by_itself() -> str:
    words = json.loads(MODEL.tokenizer)
    words["padding"] = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    return json.dumps(words)


def test_a_tokenizer_that_pads_by_itself_does_not() -> None:
    assert encode(padding_by_itself(), ["w1"], 12).tokens.tolist() == [0, 6, 2]


def test_tokenizers_read_alike_if_they_differ_in_what_encode_sets_alone() -> None:
    assert reading(padding_by_itself(), 12) == reading(MODEL.tokenizer, 12)
    assert reading(MODEL.tokenizer, 11) != reading(MODEL.tokenizer, 12)
    assert reading(MODEL.tokenizer.replace('"w7"', '"v7"'), 12) != reading(MODEL.tokenizer, 12)


def test_no_texts_give_no_logits() -> None:
    assert logits(MODEL, []).shape == (0, 4)
    assert read([]).rows() == []
