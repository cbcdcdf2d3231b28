"""Judging by a network: exact answers, choices, generation, and all of them by metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from compute.errors import UsageError
from compute.evaluation.answers._batches import batches
from compute.evaluation.answers.choice import best, likelihoods, rule_for
from compute.evaluation.answers.exact import exact
from compute.evaluation.answers.generation import generate
from compute.evaluation.answers.judge import Answerer, judged
from compute.evaluation.tasks.task import ANSWER, Example

VOCABULARY = 30
PAD, END = 0, 1
rows = st.lists(st.lists(st.integers(2, VOCABULARY - 1), min_size=1, max_size=9), min_size=1, max_size=6)


@cache
def network() -> LlamaForCausalLM:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.6,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).double().eval()


def slowly(prompt: list[int], count: int) -> list[int]:
    """Greedy decoding as its definition has it: one prompt, one token at a time, all of it computed anew."""
    row = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            row.append(int(network()(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
            if row[-1] == END:
                break
    return row[len(prompt) :]


@settings(max_examples=25)
@given(rows, st.integers(20, 200))
def test_generation_is_greedy_decoding_whatever_the_batches(prompts: list[list[int]], tokens: int) -> None:
    found = generate(network(), prompts, pad=PAD, ends=[END], new_tokens=5, tokens=tokens)
    assert found == [[token for token in slowly(prompt, 5) if token != END] for prompt in prompts]


def test_generation_agrees_with_transformers() -> None:
    prompts = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    expected = [
        network().generate(torch.tensor([row]), max_new_tokens=8, do_sample=False)[0, len(row) :].tolist()
        for row in prompts
    ]
    found = generate(network(), prompts, pad=PAD, ends=[END], new_tokens=8)
    assert found == [row[: row.index(END)] if END in row else row for row in expected]


def test_generation_stops_at_any_end_and_keeps_the_rest() -> None:
    whole = generate(network(), [[5, 6], [7]], pad=PAD, ends=[], new_tokens=6)
    assert [len(row) for row in whole] == [6, 6]
    end = whole[0][2]
    cut = generate(network(), [[5, 6], [7]], pad=PAD, ends=[END, end], new_tokens=6)
    assert cut[0] == whole[0][: whole[0].index(end)]
    assert generate(network(), [], pad=PAD, ends=[END], new_tokens=3) == []
    assert generate(network(), [[4]], pad=PAD, ends=[END], new_tokens=0) == [[]]


@settings(max_examples=25)
@given(rows, st.data())
def test_exact_is_what_step_by_step_generation_says(prompts: list[list[int]], data: st.DataObject) -> None:
    written = [slowly(prompt, 4) for prompt in prompts]
    answers = [list(row) for row in written]
    for answer in answers:
        if data.draw(st.booleans()):
            answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(1, VOCABULARY - 1))
    ids = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    found = exact(network(), ids, [len(prompt) for prompt in prompts], pad=PAD, tokens=30)
    assert found == [answer == row for answer, row in zip(answers, written, strict=True)]


def test_exact_needs_a_prompt_and_an_answer() -> None:
    assert exact(network(), [[4, 5]], [2], pad=PAD) == [False]
    assert exact(network(), [], [], pad=PAD) == []
    with pytest.raises(ValueError, match="row 0 has no prompt"):
        exact(network(), [[4, 5]], [0], pad=PAD)


@settings(max_examples=20)
@given(rows)
def test_likelihoods_are_those_of_the_definition(ids: list[list[int]]) -> None:
    ids = [[3, *row] for row in ids]
    sums = likelihoods(network(), ids, [1] * len(ids), pad=PAD, tokens=25)
    means = likelihoods(network(), ids, [1] * len(ids), pad=PAD, rule="mean")
    for row, total, mean in zip(ids, sums, means, strict=True):
        with torch.inference_mode():
            chances = network()(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        expected = sum(float(chances[place - 1, row[place]]) for place in range(1, len(row)))
        assert total == pytest.approx(expected)
        assert mean == pytest.approx(expected / (len(row) - 1))


def test_all_continuations_together_are_certain() -> None:
    ids = [[7, 8, token] for token in range(VOCABULARY)]
    values = likelihoods(network(), ids, [2] * VOCABULARY, pad=PAD)
    assert sum(map(math.exp, values)) == pytest.approx(1)
    assert likelihoods(network(), [[7, 8]], [2], pad=PAD) == [-math.inf]


def test_the_first_of_the_likeliest_is_chosen() -> None:
    assert best([-3.0, -1.0, -1.0, -5.0, -4.0], [3, 2]) == [1, 1]
    assert best([math.nan, -9.0, -math.inf, -math.inf], [2, 2]) == [1, 0]
    assert best([], []) == []


def test_letters_are_compared_plainly_and_texts_by_the_token() -> None:
    assert rule_for(["A", "B", " C"]) == "sum"
    assert rule_for(["a cat", "B"]) == "mean"


@settings(max_examples=30)
@given(rows, st.sampled_from(["left", "right"]), st.integers(1, 40))
def test_batches_hold_every_row_once(ids: list[list[int]], side: str, tokens: int) -> None:
    seen = {}
    for places, batch, mask in batches(ids, PAD, side=side, tokens=tokens):
        assert len(places) == 1 or batch.numel() <= tokens
        for line, place in enumerate(places):
            seen[place] = batch[line][mask[line].bool()].tolist()
            assert (mask[line, 0 if side == "right" else -1]) == 1
    assert seen == dict(enumerate(ids))


# By metric


@dataclass(frozen=True)
class Encoded:
    ids: list[list[int]]
    starts: list[int]


class Parrot(torch.nn.Module):
    """A network that has learned by heart what comes after which token."""

    def __init__(self, after: dict[int, int]) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(128, 128))
        with torch.no_grad():
            for token, following in after.items():
                self.table[token, following] = 5.0

    def forward(self, input_ids: torch.Tensor, **_: object) -> object:
        return type("Output", (), {"logits": self.table[input_ids], "past_key_values": None})


def says(answers: dict[str, str]) -> Answerer:
    """An answerer that gives a prompt of one letter the answer it was told, and ends; no letter may come twice."""
    after = {}
    for prompt, answer in answers.items():
        for one, following in zip(prompt + answer, answer + chr(END), strict=True):
            after[ord(one)] = ord(following)

    def encode(pairs: list[tuple[str, str]]) -> Encoded:
        ids = [[*map(ord, prompt), *map(ord, answer), *([END] if answer else [])] for prompt, answer in pairs]
        return Encoded(ids, [len(prompt) for prompt, _ in pairs])

    return Answerer(Parrot(after), encode, lambda ids: "".join(map(chr, ids)), PAD, [END], new_tokens=60)


def test_exact_texts() -> None:
    asked = says({"p": "abc", "q": "xyz"})
    examples = [Example("1", "p", "abc"), Example("2", "q", "xyw"), Example("3", "q", "xy")]
    assert judged("exact", examples, asked).correct == [True, False, False]


def test_numbers_and_their_failures() -> None:
    asked = says({"p": "is 42", "q": "no?"})
    found = judged("number", [Example("1", "p", "#### 42"), Example("2", "q", "7")], asked)
    assert (found.correct, found.failed, found.answers, found.legacy) == ([True, False], 1, ["is 42", "no?"], None)


def test_choices() -> None:
    asked = says({"p": "B", "q": "two"})
    examples = [
        Example("1", "p", "B", choices=("A", "B", "C"), answer=1),
        Example("2", "q", "two", choices=("one", "two"), answer=1),
        Example("3", "p", "A", choices=("A", "B"), answer=0),
    ]
    found = judged("choice", examples, asked)
    assert (found.correct, found.chosen) == ([True, True, False], [1, 1, 1])
    with pytest.raises(UsageError, match="question '4' has no right choice"):
        judged("choice", [Example("4", "p", "", choices=("A",))], asked)


def test_programs() -> None:
    asked = says({"p": "f=7", "q": "1", "r": "#"})
    examples = [
        Example("1", "p", "f = 7", tests=f"{ANSWER}\nassert f == 7"),
        Example("2", "q", "2", tests=f"g = {ANSWER}\nassert g == 2"),
        Example("3", "r", "x", tests=f"{ANSWER}\nassert x"),
        Example("4", "q", "1", tests=f"g = {ANSWER}\nassert g == 1"),
    ]
    found = judged("code", examples, asked, at_once=2)
    assert found.correct == [True, False, False, True]
    assert found.reasons == ["passed", "failed", "failed", "passed"]
    assert found.legacy == [False, False, False, True]
    assert found.failed == 0


def test_what_only_trains_is_not_judged() -> None:
    with pytest.raises(UsageError, match="'none' measures nothing"):
        judged("none", [], says({}))
