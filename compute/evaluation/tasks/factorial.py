"""Makes small tasks: a domain, an operation and an output format, of which each combination is a task.

Every example reads ``tags, input, =`` and is answered in two or three characters. The two tags name the operation and
the format; whoever reads ``??`` instead cannot tell which is meant, so that a model that knows all of them still has
something to learn: which one this task wants. Knows no model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import permutations, product
from pathlib import Path
from typing import Any

from compute.errors import UsageError
from compute.evaluation.tasks.task import Example, Role, Task, TaskData

DIGITS = "0123456789"
OPERANDS = "01234"
LETTERS = "abcdefghij"
ENTITIES = "ABCDEFGHIJ"

HIDDEN = "?"
PAD, EOS = "<pad>", "</s>"

CHECKED = 32
"""Inputs of a domain on which skills are checked; they are in no lesson, no training and no evaluation."""

KNOWN = 0.75
"""How often a lesson shows each of its two tags: the more often hidden, the better a model guesses without them."""

AMOUNTS = {"math": 5, "code": 5, "science": 2}
"""How often lessons come from each domain: in proportion to how slowly a small model learns it."""

HELD_OUT = ((1, 1), (3, 0))
"""Operation and format of the tasks of a domain that are no anchors; anchors have each of them otherwise combined."""

Pair = tuple[str, str]
"""What a model reads and what it should write."""


@dataclass(frozen=True)
class Domain:
    """A kind of question: its inputs, and by name and tag what may be done with one and how it is written.

    A format is a function of the operation's result.
    """

    inputs: Callable[[], Sequence[str]]
    operations: Mapping[str, tuple[str, Callable[[str], str]]]
    formats: Mapping[str, tuple[str, Callable[[str], str]]]


def _first_two(function: Callable[[int, int], int]) -> Callable[[str], str]:
    """Compute *function* of the first two of three digits, and keep the third."""
    return lambda text: f"{function(int(text[0]), int(text[1]))}{text[2]}"


def _property(number: int) -> Callable[[str], str]:
    """Look property *number* up for both entities, and keep the digit after them."""
    return lambda text: "".join(facts()[entity][number] for entity in text[:2]) + text[2]


def _next(text: str) -> str:
    """Replace each digit and letter by the one after it in its alphabet, the last by the first."""
    after = {one: kind[(n + 1) % len(kind)] for kind in (DIGITS, LETTERS) for n, one in enumerate(kind)}
    return "".join(after[one] for one in text)


@cache
def facts() -> dict[str, str]:
    """Return the world's table: each entity's four properties, digits that differ from each other."""
    rng = random.Random("facts")
    return {entity: "".join(rng.sample(DIGITS, 4)) for entity in ENTITIES}


def _numbers() -> list[str]:
    return ["".join(digits) for digits in product(OPERANDS, OPERANDS, DIGITS)]


def _words() -> list[str]:
    return ["".join(letters) for letters in permutations(LETTERS, 3)]


def _pairs() -> list[str]:
    return [f"{one}{other}{digit}" for (one, other), digit in product(permutations(ENTITIES, 2), DIGITS)]


PROPERTIES = {"mass": "m", "charge": "q", "radius": "r", "spin": "s"}

PLAIN = ("plain", (":", str))

DOMAINS: Mapping[str, Domain] = {
    "math": Domain(
        _numbers,
        {
            "add": ("+", _first_two(lambda a, b: a + b)),
            "dif": ("-", _first_two(lambda a, b: abs(a - b))),
            "max": (">", _first_two(max)),
            "first": ("&", _first_two(lambda a, b: a)),
        },
        dict([PLAIN, ("reversed", ("^", lambda text: text[::-1]))]),
    ),
    "code": Domain(
        _words,
        {
            "reverse": ("~", lambda text: text[::-1]),
            "rotate": ("@", lambda text: text[1:] + text[0]),
            "swap": ("%", lambda text: text[1] + text[0] + text[2]),
            "copy": ("!", str),
        },
        dict([PLAIN, ("shifted", ("^", _next))]),
    ),
    "science": Domain(
        _pairs,
        {name: (tag, _property(n)) for n, (name, tag) in enumerate(PROPERTIES.items())},
        dict([PLAIN, ("shifted", ("^", _next))]),
    ),
}
"""Math: three digits, of which the first two are worked on. Code: a word of three different letters. Science: two
entities, of which a property is wanted, and a digit that stays."""


@dataclass(frozen=True)
class FactorialTask:
    """One task: an operation and a format of a domain, with so many examples, drawn by *seed*.

    The inputs of evaluation are the same for all tasks of a domain and seed, and in no task's training.
    """

    domain: str
    operation: str
    format: str
    seed: int
    train: int
    evaluation: int

    def identity(self, digest: Callable[[Path], str]) -> object:
        """Name all fields: nothing else decides on the examples."""
        return asdict(self)

    def load(self) -> TaskData:
        """Make the examples, tags hidden; UsageError when the domain has fewer inputs than asked for."""
        parts = split(self.domain, self.seed, self.evaluation)
        if self.train > len(parts.lessons):
            raise UsageError(
                f"{self.train} training examples of {self.domain} are too many: beside {self.evaluation} to evaluate on"
                f" and {CHECKED} to check skills on there are {len(parts.lessons)}; ask for fewer"
            )
        own = random.Random(f"{self.seed} {self.domain} {self.operation} {self.format}")
        train = own.sample(parts.lessons, self.train)
        return TaskData(self._examples(train), self._examples(parts.evaluation), self._facts())

    def _examples(self, inputs: Sequence[str]) -> list[Example]:
        pairs = (pair(self.domain, self.operation, self.format, text, shown=(False, False)) for text in inputs)
        return [Example(text, *found) for text, found in zip(inputs, pairs, strict=True)]

    def _facts(self) -> dict[str, Any]:
        return {
            "dataset": "made by Recount",
            "config": f"{self.operation}, {self.format}",
            "revision": f"seed {self.seed}",
            "licence": "Apache-2.0",
            "columns": ["prompt", "target"],
            "dropped": {},
            "problem": "",
        }


def tasks(seed: int, train: int = 120, evaluation: int = 64) -> tuple[Task, ...]:
    """List the 24 tasks, domain by domain: 18 anchors and the 6 held-out, named as ``math-add-reversed``."""
    return tuple(
        Task(
            f"{domain}-{operation}-{form}",
            domain,
            _role(domain, operation, form),
            "exact",
            FactorialTask(domain, operation, form, seed, train, evaluation),
        )
        for domain, operation, form in combinations()
    )


def combinations() -> Iterator[tuple[str, str, str]]:
    """Give domain, operation and format of each task."""
    for name, domain in DOMAINS.items():
        for operation, form in product(domain.operations, domain.formats):
            yield name, operation, form


@dataclass(frozen=True)
class Parts:
    """The inputs of a domain, shuffled and dealt: no input is in two parts."""

    lessons: list[str]
    checks: list[str]
    evaluation: list[str]


def split(domain: str, seed: int, evaluation: int) -> Parts:
    """Deal the inputs of *domain*: *evaluation* of them, `CHECKED`, and the rest; UsageError when none is left."""
    inputs = list(DOMAINS[domain].inputs())
    if evaluation + CHECKED >= len(inputs):
        raise UsageError(
            f"{evaluation} evaluation examples of {domain} are too many: it has {len(inputs)} inputs, of which skills"
            f" are checked on {CHECKED}; ask for fewer"
        )
    random.Random(f"{seed} {domain}").shuffle(inputs)
    ends = evaluation, evaluation + CHECKED
    return Parts(inputs[ends[1] :], inputs[ends[0] : ends[1]], inputs[: ends[0]])


def pair(domain: str, operation: str, form: str, text: str, *, shown: tuple[bool, bool]) -> Pair:
    """Ask and answer one question; *shown* says whether the operation's and the format's tags are told or hidden."""
    operation_tag, apply = DOMAINS[domain].operations[operation]
    form_tag, write = DOMAINS[domain].formats[form]
    tags = (tag if told else HIDDEN for tag, told in zip((operation_tag, form_tag), shown, strict=True))
    return f"{''.join(tags)}{text}=", write(apply(text))


@dataclass(frozen=True)
class Lessons:
    """What a model is taught before it gets adapters: all tasks at once, tags told, some of them hidden.

    No question that a task of the same seed is evaluated on is ever asked.
    """

    seed: int
    evaluation: int = 64

    def draw(self, count: int, seed: int) -> list[Pair]:
        """Draw *count* questions with their answers; the same numbers draw the same."""
        rng = random.Random(f"{self.seed} lessons {seed}")
        known = {domain: split(domain, self.seed, self.evaluation).lessons for domain in DOMAINS}
        kinds = list(combinations())
        drawn = rng.choices(kinds, [AMOUNTS[domain] for domain, _, _ in kinds], k=count)
        return [self._one(*kind, known, rng) for kind in drawn]

    def checks(self) -> dict[str, list[Pair]]:
        """Give for each skill, an operation in a format, questions that no lesson asks; their tags are told."""
        inputs = {domain: split(domain, self.seed, self.evaluation).checks for domain in DOMAINS}
        return {
            "-".join(kind): [pair(*kind, text, shown=(True, True)) for text in inputs[kind[0]]]
            for kind in combinations()
        }

    def _one(self, domain: str, operation: str, form: str, known: Mapping[str, list[str]], rng: random.Random) -> Pair:
        shown = rng.random() < KNOWN, rng.random() < KNOWN
        return pair(domain, operation, form, rng.choice(known[domain]), shown=shown)


def alphabet() -> list[str]:
    """List the characters of all questions and answers, in the order of their ids after pad and end."""
    tags = [tag for domain in DOMAINS.values() for of in (domain.operations, domain.formats) for tag, _ in of.values()]
    return list(dict.fromkeys([*DIGITS, *LETTERS, *ENTITIES, *tags, HIDDEN, "="]))


def tokenizer() -> str:
    """Make the tokenizer of these tasks, a character a token; return the tokenizers library's JSON."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    names = {name: number for number, name in enumerate([PAD, EOS, *alphabet()])}
    made = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (PAD, EOS)])
    return str(made.to_str())


def _role(domain: str, operation: str, form: str) -> Role:
    operations, formats = (list(of) for of in (DOMAINS[domain].operations, DOMAINS[domain].formats))
    return "held-out" if (operations.index(operation), formats.index(form)) in HELD_OUT else "anchor"
