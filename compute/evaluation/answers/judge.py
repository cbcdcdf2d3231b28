"""Asks a model the questions of a task and judges its answers by the task's metric.

What each metric needs of an example: "exact" and "number" its `target`; "choice" its `choices` and `answer`; "code"
its `tests`, with the place for the answer marked, and `target` for the string match. "none" cannot be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from compute.errors import UsageError
from compute.evaluation.answers import choice, code, numbers
from compute.evaluation.answers._batches import TOKENS
from compute.evaluation.answers.exact import exact
from compute.evaluation.answers.generation import generate
from compute.evaluation.answers.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from torch import nn

    from compute.evaluation.tasks.task import Example, Metric


class Rows(Protocol):
    """Prompts followed by answers as token ids, and the places at which the answers begin."""

    @property
    def ids(self) -> Sequence[Sequence[int]]:
        """Give the token ids of each row."""

    @property
    def starts(self) -> Sequence[int]:
        """Say for each row how many tokens are its prompt."""


@dataclass(frozen=True)
class Answerer:
    """A causal language model as judging needs it: it is asked in token ids.

    `network` is called with input_ids and attention_mask and gives logits; to generate, it is a model of the
    transformers library, or one with modules of it replaced. `encode` turns pairs of prompt and answer into rows; an
    answer "" asks for the prompt alone, which must leave room for `new_tokens`. `decode` turns ids into text, special
    tokens left out. `pad` fills up batches of at most `tokens` tokens, and any of `ends` ends an answer.
    """

    network: nn.Module
    encode: Callable[[Sequence[tuple[str, str]]], Rows]
    decode: Callable[[list[int]], str]
    pad: int
    ends: Sequence[int]
    new_tokens: int = 256
    tokens: int = TOKENS


@dataclass(frozen=True)
class Judged:
    """How a model did on a task's examples, in their order.

    `failed` counts the answers from which nothing could be extracted; they are wrong. `legacy` is right or wrong by
    string match, for programs only. `answers` are the texts where the model wrote any, and `reasons` why each program
    ended ("" where there was none). Which choice was taken is `chosen`.
    """

    correct: list[bool]
    failed: int = 0
    legacy: list[bool] | None = None
    answers: list[str] | None = None
    reasons: list[str] | None = None
    chosen: list[int] | None = None


def judged(
    metric: Metric, examples: Sequence[Example], asked: Answerer, *, limits: Limits = DEFAULT, at_once: int = 1
) -> Judged:
    """Ask *asked* all *examples* and judge the answers by *metric*.

    Programs run within *limits*, at most *at_once* at a time. UsageError for the metric "none", for a question without
    choices or a test without a place for the answer, and where programs cannot be run safely.
    """
    judges = {"exact": _exact, "choice": _choice, "number": _number}
    if metric == "code":
        return _code(examples, asked, limits, at_once)
    if metric not in judges:
        raise UsageError(f"the metric {metric!r} measures nothing: such a task only trains; leave it out of evaluation")
    return judges[metric](examples, asked)


def _exact(examples: Sequence[Example], asked: Answerer) -> Judged:
    rows = asked.encode([(example.prompt, example.target) for example in examples])
    return Judged(exact(asked.network, rows.ids, rows.starts, pad=asked.pad, tokens=asked.tokens))


def _choice(examples: Sequence[Example], asked: Answerer) -> Judged:
    """Compare the likelihoods of each question's choices: see compute.evaluation.answers.choice.rule_for."""
    chosen = [-1] * len(examples)
    rules = [choice.rule_for(example.choices) for example in examples]
    for rule in sorted(set(rules)):
        own = [place for place, each in enumerate(rules) if each == rule]
        for place, found in zip(own, _chosen([examples[place] for place in own], asked, rule), strict=True):
            chosen[place] = found
    return Judged([found == example.answer for found, example in zip(chosen, examples, strict=True)], chosen=chosen)


def _chosen(examples: Sequence[Example], asked: Answerer, rule: choice.Rule) -> list[int]:
    for example in examples:
        if not 0 <= example.answer < len(example.choices):
            raise UsageError(f"question {example.id!r} has no right choice among its {len(example.choices)}")
    rows = asked.encode([(example.prompt, text) for example in examples for text in example.choices])
    values = choice.likelihoods(asked.network, rows.ids, rows.starts, pad=asked.pad, rule=rule, tokens=asked.tokens)
    return choice.best(values, [len(example.choices) for example in examples])


def _number(examples: Sequence[Example], asked: Answerer) -> Judged:
    texts = _written(examples, asked)
    verdicts = [numbers.judge(text, example.target) for text, example in zip(texts, examples, strict=True)]
    failed = sum(verdict.found is None for verdict in verdicts)
    return Judged([verdict.right for verdict in verdicts], failed, answers=texts)


def _code(examples: Sequence[Example], asked: Answerer, limits: Limits, at_once: int) -> Judged:
    texts = _written(examples, asked)
    ends = code.judge(texts, [example.tests for example in examples], limits=limits, at_once=at_once)
    return Judged(
        [end is not None and end.ok for end in ends],
        sum(end is None for end in ends),
        legacy=[code.same_string(text, example.target) for text, example in zip(texts, examples, strict=True)],
        answers=texts,
        reasons=["" if end is None else end.reason for end in ends],
    )


def _written(examples: Sequence[Example], asked: Answerer) -> list[str]:
    """Let the model write an answer to each question."""
    rows = asked.encode([(example.prompt, "") for example in examples])
    found = generate(
        asked.network, rows.ids, pad=asked.pad, ends=asked.ends, new_tokens=asked.new_tokens, tokens=asked.tokens
    )
    return [asked.decode(row) for row in found]
