"""What differs between two builds: cells, by how much, and because of what; and the claims that flipped.

Because of what is the change nearest the source: two hundred results that differ since one function was edited
have one cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from compute.engine.record import Record
from compute.engine.store import DamagedResult, Stamp, Store
from compute.engine.upkeep.builds import Manifest
from compute.engine.upkeep.deltas import Delta, deltas

LARGEST = 1 << 28
"""Bytes. Larger results are told apart by their digests alone."""


@dataclass(frozen=True)
class Cause:
    """A change that nothing in the build explains: it came from outside."""

    kind: str
    """config, code, library, outcome (another result of the same call by the same code) or unknown."""
    name: str
    old: Any
    """Of config the value, of code the hash; None for what is new."""
    new: Any

    @property
    def id(self) -> str:
        """What tells it from others."""
        return json.dumps([self.kind, self.name, self.old, self.new], sort_keys=True, default=str)


@dataclass(frozen=True)
class Change:
    """A cell whose result is another than before."""

    name: str
    parts: tuple[str, ...]
    """What differs of its result: key (its call), trace (its code or inputs), digest (its value)."""
    deltas: tuple[Delta, ...] = ()
    note: str = ""
    """Why it cannot be said by how much."""

    @property
    def rank(self) -> float:
        """By what to sort: the largest difference of a number."""
        return max((item.largest for item in self.deltas if item.largest is not None), default=0.0)


@dataclass(frozen=True)
class Effect:
    """The changed cells that share their causes."""

    causes: tuple[Cause, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """A claim that is judged or measured otherwise than before; None where the claim is not there."""

    study: str
    claim: str
    old: Mapping[str, str] | None
    new: Mapping[str, str] | None

    @property
    def flipped(self) -> bool:
        """Whether the verdict is another, and not the measure alone."""
        return (self.old or {}).get("verdict") != (self.new or {}).get("verdict")


@dataclass(frozen=True)
class Comparison:
    """The differences between two builds."""

    old: Manifest
    new: Manifest
    added: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[Change, ...]
    effects: tuple[Effect, ...]
    verdicts: tuple[Verdict, ...]
    config: tuple[Cause, ...] = field(default=())
    """The values of the studies' configs that differ."""

    def as_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "builds": [self.old.id, self.new.id],
            "new": list(self.added),
            "gone": list(self.gone),
            "changed": [asdict(item) for item in self.changed],
            "causes": [asdict(item) for item in self.effects],
            "claims": [{**asdict(item), "flipped": item.flipped} for item in self.verdicts],
            "config": [asdict(item) for item in self.config],
            "failed": _moved(self.old.failures, self.new.failures),
            "blocked": _moved(dict.fromkeys(self.old.blocked), dict.fromkeys(self.new.blocked)),
        }


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[str]]:
    return {"before": [name for name in old if name not in new], "now": [name for name in new if name not in old]}


def compare(store: Store, old: Manifest, new: Manifest) -> Comparison:
    """Compare two builds of a store; results that are gone from it are said to be gone."""
    both = [name for name in new.cells if name in old.cells]
    names = [name for name in both if old.cells[name] != new.cells[name]]
    changed = [_change(store, name, old.cells[name], new.cells[name]) for name in names]
    config = tuple(_config(old, new))
    return Comparison(
        old,
        new,
        added=tuple(name for name in new.cells if name not in old.cells),
        gone=tuple(name for name in old.cells if name not in new.cells),
        changed=tuple(sorted(changed, key=lambda item: (-item.rank, item.name))),
        effects=tuple(_effects(_Causes(store, old, new, config).all(names))),
        verdicts=tuple(_verdicts(old, new)),
        config=config,
    )


def _change(store: Store, name: str, old: Stamp, new: Stamp) -> Change:
    """Compare the results of a cell, if they are there, differ, and are no larger than is worth reading."""
    parts = tuple(part for part, one, other in zip(Stamp._fields, old, new, strict=True) if one != other)
    if "digest" not in parts:
        return Change(name, parts)
    records = [_record(store, stamp) for stamp in (old, new)]
    found = [record for record in records if record]
    if len(found) < 2:
        lost = " and ".join(word for word, record in zip(("old", "new"), records, strict=True) if record is None)
        return Change(name, parts, note=f"the {lost} result is gone from the store")
    if (size := max(record.size for record in found)) > LARGEST:
        return Change(name, parts, note=f"{size} bytes: told apart by digest alone")
    try:
        return Change(name, parts, tuple(deltas(*map(store.load, found))))
    except DamagedResult as error:
        return Change(name, parts, note=str(error))


def _record(store: Store, stamp: Stamp) -> Record | None:
    """Return the record of a result; None if it is gone, or was replaced by another."""
    record = store.find(stamp.key, stamp.trace)
    return record if record and record.digest == stamp.digest else None


class _Causes:
    """Finds for each changed cell what, at the source, changed it."""

    def __init__(self, store: Store, old: Manifest, new: Manifest, config: tuple[Cause, ...]) -> None:
        self.store = store
        self.old = old
        self.new = new
        self.config = {_short_id(item): item for item in config}
        self.names = {stamp.key: name for manifest in (old, new) for name, stamp in manifest.cells.items()}
        self.found: dict[str, dict[str, Cause]] = {}

    def all(self, names: list[str]) -> dict[str, dict[str, Cause]]:
        """Return the causes of each name by their ids; *names* come inputs first."""
        for name in names:
            self.found[name] = self._of(name)
        return self.found

    def _of(self, name: str) -> dict[str, Cause]:
        one, other = self.old.cells[name], self.new.cells[name]
        if one[:2] == other[:2]:
            return _by_id([Cause("outcome", name, one.digest[:12], other.digest[:12])])
        old, new = (self.store.find(stamp.key, stamp.trace) for stamp in (one, other))
        if old is None or new is None:
            return _by_id([Cause("unknown", "records that are gone from the store", None, None)])
        causes = _by_id([*self._arguments(old, new), *_code(old, new)])
        for key in sorted({*old.trace.inputs, *new.trace.inputs}):
            causes.update(self._passed_on(self.names.get(key, "")))
        return causes or _by_id([Cause("unknown", "what the records do not show", None, None)])

    def _passed_on(self, name: str) -> Mapping[str, Cause]:
        """Return the causes of an input that changes what needs it: by its call or its value, not its code alone."""
        if name not in self.found:
            return {}
        old, new = self.old.cells[name], self.new.cells[name]
        return self.found[name] if (old.key, old.digest) != (new.key, new.digest) else {}

    def _arguments(self, old: Record, new: Record) -> Iterator[Cause]:
        """Compare two calls; a value that the study's config holds is called as it is there."""
        for cause in _differing("config", old.arguments, new.arguments):
            yield self.config.get(_short_id(cause), cause)


def _short_id(cause: Cause) -> str:
    """Tell a config value by its last name and its change: cells call it by longer or shorter names."""
    return json.dumps([cause.name.rpartition(".")[2], cause.old, cause.new], sort_keys=True, default=str)


def _by_id(causes: list[Cause]) -> dict[str, Cause]:
    return {cause.id: cause for cause in causes}


def _code(old: Record, new: Record) -> Iterator[Cause]:
    before, after = old.trace.code, new.trace.code
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Cause("code" if ":" in name else "library", name, before.get(name), after.get(name))


def _config(old: Manifest, new: Manifest) -> Iterator[Cause]:
    for slug in new.config:
        yield from _differing("config", old.config.get(slug, {}), new.config[slug])


def _differing(kind: str, old: Any, new: Any) -> Iterator[Cause]:
    before, after = dict(_flat(old, "")), dict(_flat(new, ""))
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield Cause(kind, name, before.get(name), after.get(name))


def _flat(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Walk nested arguments as dotted names; a stored cell among them is its name, for its key only follows."""
    if isinstance(value, Mapping) and set(value) == {"cell", "key"}:
        yield where, value["cell"]
    elif isinstance(value, Mapping):
        inline = set(value) == {"cell", "key", "arguments"}
        for name, item in (value["arguments"] if inline else value).items():
            yield from _flat(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{where}[{number}]")
    else:
        yield where, value


def _effects(found: Mapping[str, Mapping[str, Cause]]) -> list[Effect]:
    """Group cells by their causes: what is edited together and reaches the same cells is told together."""
    reached: dict[str, list[str]] = {}
    causes: dict[str, Cause] = {}
    for name, own in found.items():
        for cause_id, cause in own.items():
            causes[cause_id] = cause
            reached.setdefault(cause_id, []).append(name)
    grouped: dict[tuple[str, ...], list[Cause]] = {}
    for cause_id, names in reached.items():
        grouped.setdefault(tuple(names), []).append(causes[cause_id])
    return [Effect(tuple(grouped[cells]), cells) for cells in sorted(grouped, key=lambda cells: -len(cells))]


def _verdicts(old: Manifest, new: Manifest) -> Iterator[Verdict]:
    for study in {**old.verdicts, **new.verdicts}:
        before, after = old.verdicts.get(study, {}), new.verdicts.get(study, {})
        for claim in {**before, **after}:
            if before.get(claim) != after.get(claim):
                yield Verdict(study, claim, before.get(claim), after.get(claim))
