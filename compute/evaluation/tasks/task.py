"""What a task for a generative model is: prompts, answers, and how answers are judged. Knows no model and no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Metric = Literal["exact", "number", "choice", "code", "none"]
"""How an answer is judged: every token right under greedy decoding; the last number of a generated text; the choice
with the highest log-likelihood; the tests of a generated program; or not at all (a task that only trains)."""

Role = Literal["anchor", "held-out"]


@dataclass(frozen=True)
class Example:
    """One question: what the model reads (`prompt`) and what it should write (`target`).

    For "choice", `choices` are the texts whose likelihoods are compared and `answer` the place of the right one. For
    "code", `tests` is a program that, run after the answer, ends without an error only if the answer is right; the
    place of the answer in it is marked by tasks.task.ANSWER. `target` is what is trained on in every case.
    """

    id: str
    prompt: str
    target: str
    choices: tuple[str, ...] = ()
    answer: int = -1
    tests: str = ""


ANSWER = "{{answer}}"
"""Where the program of a "code" example takes the model's answer."""


@dataclass(frozen=True)
class TaskData:
    """The examples of a task: to train on, and to be measured by. No id is in both."""

    train: Sequence[Example]
    evaluation: Sequence[Example]
    facts: Mapping[str, Any]
    """What the data set's audit tells: `dataset`, `config`, `revision`, `licence`, `columns`, `dropped` (how many rows
    were left out, by reason) and `problem`, why the task cannot be used ("" if it can)."""


class TaskSource(Protocol):
    """Where the examples of one task come from. Its fields are plain, so that it can be part of a key."""

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Say what the data is (seed, digests, revisions), never where it lies."""

    def load(self) -> TaskData:
        """Make or read the examples; UsageError if they cannot be had."""


@dataclass(frozen=True)
class Task:
    """One task of a study: known before anything is loaded."""

    name: str
    domain: str
    role: Role
    metric: Metric
    source: TaskSource | None
    """None where only adapters are known, and what was measured elsewhere."""


def to_tree(data: TaskData) -> dict[str, Any]:
    """Turn the data of a task into plain values, as the store keeps them."""
    train, evaluation = ([asdict(example) for example in part] for part in (data.train, data.evaluation))
    return {"train": train, "evaluation": evaluation, "facts": dict(data.facts)}


def from_tree(tree: Mapping[str, Any]) -> TaskData:
    """Build the data that `to_tree` turned into *tree*."""
    train, evaluation = (
        [Example(**{**row, "choices": tuple(row["choices"])}) for row in tree[part]] for part in ("train", "evaluation")
    )
    return TaskData(train, evaluation, tree["facts"])
