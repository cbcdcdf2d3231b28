"""A task whose examples are rows of a data set of the hub at a commit. Knows how rows become parts, and no task.

A network that is missing is an error to mend; a data set that does not hold what was expected is a fact about the task.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.evaluation.tasks import splits
from compute.evaluation.tasks.converters import CONVERTERS
from compute.evaluation.tasks.rows import UnusableError
from compute.evaluation.tasks.task import Example, TaskData

if TYPE_CHECKING:
    from datasets import Dataset

UNREADABLE = "a value is missing or of another type"
TAKEN = "another task trains on the same problem"
REPEATED = "says what another row says"
MEASURED = "also in the evaluation part"


@dataclass(frozen=True)
class Part:
    """Which rows one part of a task is made of: splits of the data set, and what of them."""

    split: tuple[str, ...]
    share: tuple[float, float] = (0.0, 1.0)
    """The places of the rows, by a hash of what they ask (see `splits.place`), in [from, to)."""
    numbers: tuple[int, int, int] | None = None
    """The numbers that the rows' ids end with: from, to and step, as those of a range."""

    def has(self, example: Example) -> bool:
        """Whether a row of one of the part's splits belongs to it."""
        numbered = self.numbers is None or splits.number(example.id) in range(*self.numbers)
        return numbered and splits.within(example, self.share)


@dataclass(frozen=True)
class Where:
    """A condition on the rows: one of *values* stands in *column*."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class HubTask:
    """The examples of one task from the hub.

    `files` names the data file of each split where a repository has no layout that the datasets library reads by
    itself (it runs no scripts). `taken` is the range of problem numbers that other tasks train on. A part without
    splits is empty: such a task only trains.
    """

    repo: str
    converter: str
    train: Part
    evaluation: Part
    config: str = ""
    revision: str = ""
    where: Where | None = None
    files: tuple[tuple[str, str], ...] = ()
    taken: tuple[int, int] = (0, 0)
    licence: str = "unknown"
    degraded: str = ""
    """Why a result on this task says little, where it is known beforehand."""
    train_limit: int | None = None
    evaluation_limit: int | None = None

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name the repository, the commit and every rule by which rows become examples."""
        return dataclasses.asdict(self)

    def check(self) -> None:
        """Raise UsageError if the data set is neither here nor to be had from the hub."""
        from compute.evaluation.tasks import hub_rows

        hub_rows.check(self.repo, self.revision, self.config, [name for _, name in self.files])

    def load(self) -> TaskData:
        """Fetch the rows and make the examples.

        What is wrong with the data is told in `facts["problem"]`, as a missing column or an empty part; only what keeps
        them from being fetched, as a missing network, is a UsageError.
        """
        from compute.evaluation.tasks import hub_rows

        wanted = sorted({*self.train.split, *self.evaluation.split})
        try:
            found = hub_rows.load(self.repo, self.revision, self.config, dict(self.files), wanted)
            _check_columns(found, CONVERTERS[self.converter][1])
        except hub_rows.BadDataError as error:
            return TaskData((), (), self._facts(str(error)))
        return self._split(found)

    def _split(self, found: Mapping[str, Dataset]) -> TaskData:
        dropped: Counter[str] = Counter()
        read = {split: list(self._examples(rows, dropped)) for split, rows in found.items()}
        evaluation = _distinct(self._of(self.evaluation, read), set(), dropped, "")
        train = _distinct(self._of(self.train, read), {example.id for example in evaluation}, dropped, MEASURED)
        columns = sorted({name for rows in found.values() for name in rows.column_names})
        available = {"train": len(train), "evaluation": len(evaluation)}
        empty = [name for name, n in available.items() if not n and getattr(self, name).split]
        problem = f"no usable row for the {' and the '.join(empty)} part" if empty else ""
        facts = {"columns": columns, "dropped": dict(sorted(dropped.items())), "available": available}
        return TaskData(
            splits.at_most(train, self.train_limit),
            splits.at_most(evaluation, self.evaluation_limit),
            self._facts(problem) | facts,
        )

    def _examples(self, rows: Iterable[Mapping[str, Any]], dropped: Counter[str]) -> Iterable[Example]:
        convert = CONVERTERS[self.converter][0]
        for row in rows:
            if self.where and row[self.where.column] not in self.where.values:
                continue
            try:
                example = convert(row)
            except UnusableError as why:
                dropped[str(why)] += 1
                continue
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                dropped[UNREADABLE] += 1
                continue
            if splits.number(example.id) in range(*self.taken):
                dropped[TAKEN] += 1
                continue
            yield dataclasses.replace(example, id=example.id or splits.digest(example.prompt)[:16])

    def _of(self, part: Part, read: Mapping[str, list[Example]]) -> list[Example]:
        return [example for split in part.split for example in read[split] if part.has(example)]

    def _facts(self, problem: str) -> dict[str, Any]:
        known = {"dataset": self.repo, "config": self.config, "revision": self.revision, "licence": self.licence}
        empty: dict[str, Any] = {"columns": [], "dropped": {}, "available": {"train": 0, "evaluation": 0}}
        return known | empty | {"degraded": self.degraded, "problem": problem}


def _check_columns(found: Mapping[str, Any], wanted: Iterable[str]) -> None:
    from compute.evaluation.tasks.hub_rows import BadDataError

    for split, rows in found.items():
        missing = [name for name in wanted if name not in rows.column_names]
        if missing:
            raise BadDataError(f"the split {split!r} has no column {missing[0]!r}, but {', '.join(rows.column_names)}")


def _distinct(examples: Iterable[Example], seen: set[str], dropped: Counter[str], why: str) -> list[Example]:
    """Return the examples whose id is neither *seen* nor that of one before; count the others."""
    others, found = frozenset(seen), []
    for example in examples:
        if example.id in seen:
            dropped[why if example.id in others else REPEATED] += 1
        else:
            found.append(example)
            seen.add(example.id)
    return found
