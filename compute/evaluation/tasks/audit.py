"""What the data of tasks are worth: sizes, digests, what was dropped, and which questions stand in others' training.

Two questions are the same if prompt and target are, but for case and spaces. One is near another if most of its runs of
words stand in it too, whatever the numbers: that finds problems retold with other figures and programs wanted twice.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from compute.evaluation.tasks import splits
from compute.evaluation.tasks.task import Example, Metric, TaskData

RUN = 5
"""How many words a run has: fewer are shared by any two questions on a subject."""

NEAR = 0.6
"""Which share of a question's runs must stand in one example of the other task's training."""

FEWEST = 30
"""With fewer examples to measure by, not even large differences can be told."""

ANCHORS = 6
"""How many anchors a domain needs."""


def audit(data: TaskData, metric: Metric) -> dict[str, Any]:
    """Describe the data of one task: where from, how many, their digests, and whether they can be used.

    `status` is "ok", "degraded" (usable, but it says little, and `reason` why) or "dropped" (not usable).
    """
    facts = data.facts
    status, reason = _status(data, metric)
    return {
        **{field: facts.get(field, "") for field in ("dataset", "config", "revision", "licence")},
        "columns": list(facts.get("columns", ())),
        "left_out": dict(facts.get("dropped", {})),
        "n_train": len(data.train),
        "n_evaluation": len(data.evaluation),
        "digest_train": splits.content(data.train),
        "digest_evaluation": splits.content(data.evaluation),
        "status": status,
        "reason": reason,
    }


def _status(data: TaskData, metric: Metric) -> tuple[str, str]:
    problem, degraded = str(data.facts.get("problem", "")), str(data.facts.get("degraded", ""))
    few = metric != "none" and len(data.evaluation) < FEWEST
    if problem:
        return "dropped", problem
    if few:
        degraded = f"only {len(data.evaluation)} examples to measure by" + (f"; {degraded}" if degraded else "")
    return ("degraded", degraded) if degraded else ("ok", "")


def underpowered(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the domains with fewer than `ANCHORS` anchors that were not dropped, with how many they have.

    *rows* are those of `audit`, each with its task's `domain` and `role`; every domain with a task counts, even if
    all its anchors were dropped.
    """
    left: Counter[str] = Counter()
    for row in rows:
        left[row["domain"]] += row["role"] == "anchor" and row["status"] != "dropped"
    return {domain: count for domain, count in sorted(left.items()) if count < ANCHORS}


def overlapping(anchors: Mapping[str, TaskData], held_out: Mapping[str, TaskData]) -> list[dict[str, Any]]:
    """Count, for each pair, how many questions that a task is measured by stand in the training of an anchor.

    Rows of `anchor`, `task`, `exact` and `near` (without the exact ones), in the order given; only pairs that share
    any. The same task may be among both: it is not compared with itself.
    """
    index = _Index({task: data.evaluation for task, data in held_out.items()})
    rows = []
    for anchor, data in anchors.items():
        exact, near = index.found(data.train)
        for task in held_out:
            row = {"anchor": anchor, "task": task, "exact": len(exact[task]), "near": len(near[task] - exact[task])}
            if task != anchor and (row["exact"] or row["near"]):
                rows.append(row)
    return rows


class _Index:
    """The questions to be measured by, found by what they say."""

    def __init__(self, held_out: Mapping[str, Sequence[Example]]) -> None:
        self.places: list[str] = []
        """The task of each question."""
        self.sizes: list[int] = []
        """How many runs it has."""
        self.same: dict[str, list[int]] = defaultdict(list)
        self.runs: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for task, examples in held_out.items():
            for example, question in zip(examples, _questions(examples), strict=True):
                self._add(task, question, example.target)

    def _add(self, task: str, question: str, target: str) -> None:
        number, runs = len(self.places), _runs(question)
        self.places.append(task)
        self.sizes.append(len(runs))
        self.same[_said(question, target)].append(number)
        for run in runs:
            self.runs[run].append(number)

    def found(self, examples: Sequence[Example]) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
        """Return, by task, the questions that *examples* repeat, and those that they come near."""
        exact: dict[str, set[int]] = defaultdict(set)
        near: dict[str, set[int]] = defaultdict(set)
        for example, question in zip(examples, _questions(examples), strict=True):
            self._sort(self.same.get(_said(question, example.target), ()), exact)
            shared = Counter(number for run in _runs(question) for number in self.runs.get(run, ()))
            self._sort((n for n, count in shared.items() if count >= NEAR * self.sizes[n]), near)
        return exact, near

    def _sort(self, numbers: Iterable[int], into: dict[str, set[int]]) -> None:
        for number in numbers:
            into[self.places[number]].add(number)


def _questions(examples: Sequence[Example]) -> list[str]:
    """Return the prompts without the lines with which all of them begin or end: how to answer is no question."""
    prompts = [example.prompt for example in examples]
    if len(prompts) < 2:
        return prompts
    begin = _shared_start(prompts).rfind("\n") + 1
    end = _shared_start([prompt[begin:][::-1] for prompt in prompts]).rfind("\n") + 1
    return [prompt[begin : len(prompt) - end] for prompt in prompts]


def _shared_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def _said(question: str, target: str) -> str:
    return splits.digest(f"{splits.normalized(question)}\n{target}")


def _runs(text: str) -> Collection[tuple[str, ...]]:
    """Return every run of words in *text*, whose numbers are all the same; none for a text that is too short."""
    words = re.findall(r"[^\W\d_]+|\d[\d.,]*", text.lower())
    plain = ["0" if word[0].isdigit() else word for word in words]
    return {tuple(plain[i : i + RUN]) for i in range(len(plain) - RUN + 1)}
