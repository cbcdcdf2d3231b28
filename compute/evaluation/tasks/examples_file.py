"""Examples of a task that come with a collection, a line of JSON each. Knows no model and no data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.errors import UsageError, short, unknown
from compute.evaluation.tasks.task import ANSWER, Example, Metric, TaskData

LARGEST = 1_000_000_000
"""Bytes that such a file may have."""

KEYS = ("id", "prompt", "target", "choices", "answer", "tests", "split")


@dataclass(frozen=True)
class ExamplesFile:
    """A source of a task's examples: a JSONL file with `prompt`, `target`, and what its metric needs.

    That is `choices` and `answer` (the place of the right one, from 0) for "choice", and `tests` for "code". An `id` is
    the number of the line unless said; `split` is train or evaluation, which it is unless said.
    """

    path: Path
    metric: Metric

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name the digest of the file, and the metric that its examples were read for."""
        self._check()
        return {"examples": digest(self.path), "metric": self.metric}

    def load(self) -> TaskData:
        """Read the examples; UsageError, with file and line, for what is wrong in it."""
        self._check()
        found: dict[str, list[Example]] = {"train": [], "evaluation": []}
        ids: set[str] = set()
        for number, said in _lines(self.path):
            where = f"{self.path}, line {number}"
            split, example = _example(where, said, self.metric, number)
            if example.id in ids:
                raise UsageError(f"{where}: the id {short(example.id)} comes twice: each example needs its own")
            ids.add(example.id)
            found[split].append(example)
        if not found["evaluation"]:
            raise UsageError(f"{self.path} holds no examples to be measured by: expected a line of JSON each")
        return TaskData(found["train"], found["evaluation"], {"dataset": self.path.name, "problem": ""})

    def _check(self) -> None:
        if not self.path.is_file():
            raise UsageError(f"no examples in {self.path}: expected a file with a line of JSON each")


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UsageError(f"{path} has {size:,} bytes: keep the examples that are asked")
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                said = json.loads(line)
                if not isinstance(said, dict):
                    raise UsageError(f"{path}, line {number}: expected a mapping, found a {type(said).__name__}")
                yield number, said
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}, line {number}: no JSON in UTF-8 ({short(error)}): write it again") from error


def _example(where: str, said: dict[str, Any], metric: Metric, number: int) -> tuple[str, Example]:
    """Check one example, by what its metric asks for."""
    for key in said:
        if key not in KEYS:
            raise UsageError(f"{where}: {unknown('key of an example', key, KEYS)}")
    texts = {key: said.get(key, "") for key in ("prompt", "target", "tests")}
    for key, text in texts.items():
        if not isinstance(text, str) or (key == "prompt" and not text):
            raise UsageError(f"{where}: {key} must be a text, not {short(text)}")
    if (split := said.get("split", "evaluation")) not in ("train", "evaluation"):
        raise UsageError(f"{where}: split must be train or evaluation, not {short(split)}")
    choices, answer = said.get("choices", []), said.get("answer", -1)
    _check_metric(where, metric, texts, choices, answer)
    name = said.get("id", number)
    if not isinstance(name, (str, int)):
        raise UsageError(f"{where}: id must be a text or a number, not {short(name)}")
    return split, Example(str(name), texts["prompt"], texts["target"], tuple(choices), answer, texts["tests"])


def _check_metric(where: str, metric: Metric, texts: dict[str, str], choices: object, answer: object) -> None:
    if not isinstance(choices, list) or not all(isinstance(each, str) and each for each in choices):
        raise UsageError(f"{where}: choices must be a list of texts, not {short(choices)}")
    if metric == "choice" and (len(choices) < 2 or type(answer) is not int or not 0 <= answer < len(choices)):
        raise UsageError(
            f"{where}: a choice needs at least two choices, and answer as the place of one of them from 0, found"
            f" {short(answer)} of {len(choices)}"
        )
    if type(answer) is not int:
        raise UsageError(f"{where}: answer must be the place of a choice, not {short(answer)}; what to write is target")
    if metric == "code" and ANSWER not in texts["tests"]:
        raise UsageError(f"{where}: tests must be a program with {ANSWER} where the model's answer stands")
    if metric in ("exact", "number") and not texts["target"]:
        raise UsageError(f"{where}: target is empty, and answers are compared with it")
