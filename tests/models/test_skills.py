from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from compute.evaluation.tasks import factorial
from compute.models import prompts, skills
from compute.models.causal import CausalModel, new
from compute.models.checkpoint import digest
from compute.models.recipes import CausalArchitecture, Teaching

SMALL = CausalArchitecture("llama", 16, 1, 2, 1, 32)
QUICK = Teaching(steps=60, batch=16, learning_rate=1e-2, more=20, repeats=2)


class Copying:
    """Lessons in saying a letter again: learned in a moment."""

    def draw(self, count: int, seed: int) -> Sequence[tuple[str, str]]:
        letters = random.Random(seed).choices(factorial.LETTERS, k=count)
        return [(f"{letter}=", letter) for letter in letters]

    def checks(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return {"copy": [(f"{letter}=", letter) for letter in factorial.LETTERS]}


class Nonsense(Copying):
    """Lessons of which nothing can be learned."""

    def checks(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return {"never": [("a=", "777")], **super().checks()}


def taught(seed: int = 0, teaching: Teaching = QUICK, lessons: Any = None) -> tuple[CausalModel, dict[str, Any]]:
    return skills.teach(SMALL, teaching, lessons or Copying(), factorial.tokenizer(), seed=seed)


def test_a_model_learns_what_it_is_taught_and_says_so() -> None:
    model, report = taught()

    assert report == {"steps": 60, "skills": [{"skill": "copy", "accuracy": 1.0}]}
    assert continued(model, "c=", 2) == prompts.encode(model, [("c=", "c")]).ids[0]


def test_the_same_seed_teaches_to_the_same_bytes_whatever_the_global_generator() -> None:
    short = Teaching(steps=5, batch=8, repeats=0)
    state = torch.get_rng_state()
    first, _ = taught(1, short)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)

    assert digest(taught(1, short)[0].tensors) == digest(first.tensors)
    assert digest(taught(2, short)[0].tensors) != digest(first.tensors)


def test_what_is_not_known_is_taught_on_for_a_limited_time() -> None:
    _, report = taught(lessons=Nonsense())

    assert report["steps"] == 60 + 2 * 20
    assert {row["skill"]: row["accuracy"] for row in report["skills"]} == {"never": 0.0, "copy": 1.0}


def test_accuracy_is_that_of_greedy_decoding_token_by_token() -> None:
    model = new(SMALL, factorial.tokenizer(), seed=5)
    lessons = factorial.Lessons(seed=0).draw(6, seed=0)
    own = [(prompt, spoken(model, prompt)) for prompt, _ in lessons]
    pairs = [*own, *lessons]

    right = [
        continued(model, prompt, len(answer) + 1)[: len(row)] == row
        for (prompt, answer), row in zip(pairs, prompts.encode(model, pairs).ids, strict=True)
    ]
    assert skills.accuracy(model.network(), skills.rows(model, pairs)) == sum(right) / len(right)


def test_rows_predict_answers_and_ends_alone() -> None:
    model = new(SMALL, factorial.tokenizer(), seed=5)
    found = skills.rows(model, [("ab=", "c"), ("a=", "bcd")])

    ids = {name: model.words.token_to_id(name) for name in "abcd="}
    no = skills.IGNORED
    assert found.labels.tolist() == [[no, no, ids["c"], 1, no], [no, ids["b"], ids["c"], ids["d"], 1]]
    assert found.ids.tolist()[0] == [ids["a"], ids["b"], ids["="], ids["c"], 1]
    assert found.answer == 4


def test_what_fills_a_row_up_changes_no_answer() -> None:
    model = new(SMALL, factorial.tokenizer(), seed=5)
    alone, beside = skills.rows(model, [("ab=", "c")]), skills.rows(model, [("ab=", "c"), ("abcdef=", "bcd")])
    network = model.network()

    with torch.inference_mode():
        one, other = (network(input_ids=of.ids[:1]).logits[:, : alone.ids.shape[1]] for of in (alone, beside))
    torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [CausalArchitecture("qwen2", 64, 4, 4, 2, 160), CausalArchitecture("llama", 96, 3, 4, 2, 224)],
    ids=lambda of: of.kind,
)
def test_the_factorial_skills_are_learned_and_hidden_tags_leave_the_model_guessing(
    architecture: CausalArchitecture,
) -> None:
    lessons = factorial.Lessons(seed=0)
    model, report = skills.teach(architecture, Teaching(), lessons, factorial.tokenizer(), seed=0)
    hidden = [(f"??{prompt[2:]}", answer) for pairs in lessons.checks().values() for prompt, answer in pairs]

    assert min(row["accuracy"] for row in report["skills"]) >= 0.9
    assert skills.accuracy(model.network(), skills.rows(model, hidden)) < 0.3


def continued(model: CausalModel, prompt: str, tokens: int) -> list[int]:
    """Decode greedily, the whole row anew for each token."""
    network, ids = model.network(), prompts.encode(model, [(prompt, "")]).ids[0]
    with torch.inference_mode():
        for _ in range(tokens):
            ids = [*ids, int(network(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids


def spoken(model: CausalModel, prompt: str) -> str:
    """Return two tokens that the model says itself."""
    return str(model.words.decode(continued(model, prompt, 2)[-2:], skip_special_tokens=False))
