"""Reads the parallel phrasebook that ships with the package and fills its templates; knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, product
from operator import attrgetter
from pathlib import Path
from string import Formatter
from typing import Any

from compute import yaml_file
from compute.errors import UsageError, unknown

FOLDER = Path(__file__).parent / "phrasebook_data"
REFERENCE = "en-US"
"""The locale that all others are parallel to."""
FEWEST_VALUES = 8
PARTITIONS = ("train", "dev", "test")
SHARES = ("train", "dev", "train", "test", "train")
"""Whose the combinations of one template are, dealt in turn: three fifths, a fifth and a fifth."""

_INTENT = re.compile(r"[a-z]+/[a-z_]+")


@dataclass(frozen=True)
class Phrases:
    """One locale's phrasebook: the values of each slot, and the templates of each ``scenario/intent``."""

    slots: Mapping[str, tuple[str, ...]]
    intents: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Combination:
    """One template with one value for each of its slots; *turn* and *rank* say when it is drawn."""

    turn: int
    rank: str
    id: int
    template: int
    values: tuple[tuple[str, int], ...]


Decks = Sequence[Sequence[Combination]]
"""The shuffled combinations of each template of one intent."""


def locales() -> list[str]:
    """List the locales that have a data file, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read(locale: str) -> Phrases:
    """Read the phrasebook of *locale* and check that it is parallel to the reference locale's.

    Raises UsageError, naming the file, when the locale is unknown, the file is not valid YAML, a template
    holds an unknown slot or none, a slot has too few values, or the shape differs from the reference's.
    """
    if locale not in locales():
        raise unknown("phrasebook locale", locale, locales())
    phrases = _parse(FOLDER / f"{locale}.yaml")
    if locale != REFERENCE and REFERENCE in locales():
        _check_parallel(locale, phrases, _parse(FOLDER / f"{REFERENCE}.yaml"))
    return phrases


def expand(locale: str, *, seed: int, train: int, dev: int, test: int, held_out: int = 0) -> list[dict[str, Any]]:
    """Fill the templates of *locale*: *train*, *dev* and *test* utterances for every intent.

    Rows carry MASSIVE's columns ``id, locale, partition, scenario, intent, utt`` and stand in the order of
    partitions, intents and drawing. An id names an intent, a template and its slot values, whatever the
    locale and the seed: rows of equal id are translations of each other, and all locales draw the same ids.
    Partitions share no utterance. A draw is the beginning of every larger one, and asking for more of one
    partition changes none of the others. Templates are drawn in turn, so that a partition of as many
    utterances as there are templates has each of them.

    With *held_out* = 0 every template serves all partitions, each with combinations of its own. With
    *held_out* = h, from 2 up, h templates of an intent never occur in train: dev is drawn from h // 2 of
    them alone, test from the rest of the h alone, and train from all others, so that dev and test measure
    the understanding of unseen wordings. *seed* chooses the h, first among templates of two slots or more,
    as those of one slot have few combinations.

    Raises UsageError when an intent has fewer combinations than asked for, or *held_out* does not fit.
    """
    phrases = read(locale)
    sizes = {"train": train, "dev": dev, "test": test}
    decks = {intent: _pools(intent, deck, seed, held_out) for intent, deck in _decks(phrases, seed)}
    rows = [
        _row(locale, partition, intent, phrases, combination)
        for partition in PARTITIONS
        for intent, pools in decks.items()
        for combination in _draw(intent, partition, pools[partition], sizes[partition])
    ]
    _refuse_repetition(locale, rows)
    return rows


def digest() -> str:
    """Compute the sha256 of all data files, names and bytes, in the order of their names."""
    total = sha256()
    for file in sorted(FOLDER.glob("*.yaml")):
        total.update(f"{file.name}\0{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def placeholders(template: str) -> list[str]:
    """List the slots that *template* names, in its own order; raise ValueError when a brace has no match."""
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def _parse(file: Path) -> Phrases:
    data = yaml_file.read(file)
    if not isinstance(data, dict) or set(data) != {"slots", "intents"}:
        found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise UsageError(f"{file.name}: expected the two keys 'slots' and 'intents', found {found}")
    phrases = Phrases(**{part: _lists(file, part, data[part]) for part in ("slots", "intents")})
    _check_values(file, phrases)
    _check_templates(file, phrases)
    return phrases


def _lists(file: Path, part: str, data: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(data, dict) or not data:
        raise UsageError(f"{file.name}: expected {part!r} to map names to lists, found {data!r}")
    for name, texts in data.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UsageError(f"{file.name}: expected {part} {name!r} to be a list of texts; quote each one")
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise UsageError(f"{file.name}: {part} {name!r} lists {twice[0]!r} more than once")
    return {str(name): tuple(texts) for name, texts in data.items()}


def _check_values(file: Path, phrases: Phrases) -> None:
    for slot, values in phrases.slots.items():
        if len(values) < FEWEST_VALUES:
            raise UsageError(f"{file.name}: slot {slot!r} has {len(values)} values, expected {FEWEST_VALUES} or more")


def _check_templates(file: Path, phrases: Phrases) -> None:
    for intent, templates in phrases.intents.items():
        if not _INTENT.fullmatch(intent):
            raise UsageError(f"{file.name}: expected an intent as 'scenario/intent', found {intent!r}")
        for template in templates:
            _check_template(f"{file.name}: {intent}: template {template!r}", template, phrases)


def _check_template(where: str, template: str, phrases: Phrases) -> None:
    try:
        names = placeholders(template)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    strangers = [name for name in names if name not in phrases.slots]
    if strangers:
        raise UsageError(f"{where}: {unknown('slot', strangers[0], phrases.slots)}")
    if not names or len(names) != len(set(names)):
        raise UsageError(f"{where}: expected one slot or more, each once, found {names}")


def _check_parallel(locale: str, phrases: Phrases, reference: Phrases) -> None:
    where = f"{locale}.yaml is not parallel to {REFERENCE}.yaml"
    for part in ("slots", "intents"):
        _check_counts(f"{where}: {part}", getattr(phrases, part), getattr(reference, part))
    for intent, templates in reference.intents.items():
        for mine, theirs in zip(phrases.intents[intent], templates, strict=True):
            if set(placeholders(mine)) != set(placeholders(theirs)):
                raise UsageError(f"{where}: {intent}: {mine!r} and {theirs!r} differ in their slots")


def _check_counts(where: str, mine: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]) -> None:
    if list(mine) != list(theirs):
        raise UsageError(f"{where}: expected {', '.join(theirs)} in this order, found {', '.join(mine)}")
    for name, texts in theirs.items():
        if len(mine[name]) != len(texts):
            raise UsageError(f"{where}: {name!r}: expected {len(texts)} texts, found {len(mine[name])}")


def _decks(phrases: Phrases, seed: int) -> Iterator[tuple[str, Decks]]:
    """Number all combinations in the order of the file, and shuffle those of each template."""
    ids = count()
    for intent, templates in phrases.intents.items():
        yield intent, [_shuffled(phrases, index, text, ids, seed) for index, text in enumerate(templates)]


def _shuffled(phrases: Phrases, template: int, text: str, ids: Iterator[int], seed: int) -> list[Combination]:
    slots = sorted(placeholders(text))
    choices = product(*(range(len(phrases.slots[slot])) for slot in slots))
    numbered = [(next(ids), tuple(zip(slots, choice, strict=True))) for choice in choices]
    ranked = sorted((_rank(seed, number), number, values) for number, values in numbered)
    return [Combination(turn, rank, number, template, values) for turn, (rank, number, values) in enumerate(ranked)]


def _pools(intent: str, decks: Decks, seed: int, held_out: int) -> dict[str, list[Combination]]:
    """Collect what each partition may be drawn from, in the order of drawing."""
    if not held_out:
        return {partition: _pool(decks, {partition}) for partition in PARTITIONS}
    if not 2 <= held_out < len(decks):
        raise UsageError(f"{intent}: expected held_out to be 0, or from 2 to {len(decks) - 1}, found {held_out}")
    order = sorted(decks, key=lambda deck: (len(deck[0].values) < 2, _rank(seed, intent, deck[0].template)))
    middle = held_out // 2
    chosen = {"train": order[held_out:], "dev": order[:middle], "test": order[middle:held_out]}
    return {partition: _pool(chosen[partition], set(SHARES)) for partition in PARTITIONS}


def _pool(decks: Decks, partitions: set[str]) -> list[Combination]:
    serving = [turn for turn, partition in enumerate(SHARES) if partition in partitions]
    pool = [card for deck in decks for card in deck if card.turn % len(SHARES) in serving]
    return sorted(pool, key=attrgetter("turn", "rank"))


def _draw(intent: str, partition: str, pool: Sequence[Combination], size: int) -> Sequence[Combination]:
    if not 0 <= size <= len(pool):
        raise UsageError(
            f"{intent}: expected 0 to {len(pool)} {partition} utterances, as many as there are, found {size}"
        )
    return pool[:size]


def _rank(seed: int, *what: object) -> str:
    return sha256("/".join(map(str, (seed, *what))).encode()).hexdigest()


def _row(locale: str, partition: str, intent: str, phrases: Phrases, combination: Combination) -> dict[str, Any]:
    values = {slot: phrases.slots[slot][index] for slot, index in combination.values}
    scenario, name = intent.split("/")
    return {
        "id": combination.id,
        "locale": locale,
        "partition": partition,
        "scenario": scenario,
        "intent": name,
        "utt": phrases.intents[intent][combination.template].format(**values),
    }


def _refuse_repetition(locale: str, rows: Sequence[Mapping[str, Any]]) -> None:
    seen: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first = seen.setdefault(row["utt"], row)
        if first is not row:
            raise UsageError(
                f"{locale}.yaml: {row['utt']!r} is both {first['intent']} (id {first['id']}) and "
                f"{row['intent']} (id {row['id']}); reword one of the two templates"
            )
