"""What differs between the call that is wanted now and the result that comes nearest to it: data, not words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from compute.engine.cell import Cell
from compute.engine.code import Code
from compute.engine.record import Record, readable
from compute.engine.sources import Sources
from compute.engine.store import Store

ABSENT = "(absent)"
"""Stands for a value that one of the two has not: None is a value."""


@dataclass(frozen=True)
class Difference:
    """A value that differs: of the config, by its dotted name, or the version of a library."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.name}: {_spelt(self.old)} → {_spelt(self.new)}"


@dataclass(frozen=True)
class CodeChange:
    """A definition that differs."""

    name: str
    """As "module:definition"."""
    change: Literal["changed", "added", "removed"]
    old: str | None
    """The hash, as `new`; None where there is no such definition."""
    new: str | None
    diff: tuple[str, ...] | None
    """A unified diff of what counts of the source; None if the former text was not kept."""


@dataclass(frozen=True)
class InputChange:
    """A stored input whose result differs."""

    cell: str
    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Changes:
    """All that differs from one result."""

    record: Record
    same_key: bool
    """Whether it is a result of the same call, under other code or inputs."""
    config: tuple[Difference, ...] = ()
    code: tuple[CodeChange, ...] = ()
    libraries: tuple[Difference, ...] = ()
    inputs: tuple[InputChange, ...] = ()


class Comparison:
    """Compares calls with the results of a store."""

    def __init__(self, store: Store, code: Code, names: Mapping[str, str]) -> None:
        """Take the readable *names* of cells by key."""
        self.store = store
        self.code = code
        self.names = names
        self.sources = Sources(store.root)

    def nearest(self, cell: Cell, digests: Mapping[str, str]) -> Changes | None:
        """Compare *cell* with its nearest result, whose inputs have *digests* by key where they are known.

        The nearest is one of the same key, with the fewest changes, the newest of several; else one of the
        same function, with the fewest config values that differ.
        """
        parts = self.code.parts(cell)
        if others := self.store.others(cell.key):
            record = min(reversed(others), key=lambda record: _distance(record, parts, digests))
            return self.changes(cell, record, digests)
        arguments = dict(_flat(readable(cell.arguments)))
        candidates = [(_differing(dict(_flat(record.arguments)), arguments), record) for record in self._alike(cell)]
        if not candidates:
            return None
        _, record = min(candidates, key=lambda item: (item[1].name != cell.name, len(item[0]), item[1].key))
        return self.changes(cell, record, digests)

    def _alike(self, cell: Cell) -> Iterator[Record]:
        return self.store.all(cell.function.name)

    def changes(self, cell: Cell, record: Record, digests: Mapping[str, str]) -> Changes:
        """Compare *cell* with one result. Inputs are compared by key, so for another call those that both have."""
        old, new = dict(_flat(record.arguments)), dict(_flat(readable(cell.arguments)))
        parts, before, same = self.code.parts(cell), record.trace.code, record.key == cell.key
        known = {key: made for key, made in digests.items() if same or key in record.trace.inputs}
        names = _differing(before, parts)
        return Changes(
            record,
            same,
            config=_differences(old, new),
            code=tuple(self._code_change(name, record, parts) for name in names if ":" in name),
            libraries=tuple(item for item in _differences(before, parts) if ":" not in item.name),
            inputs=tuple(
                self._input_change(record, key, known[key])
                for key in _differing(record.trace.inputs, known)
                if key in known
            ),
        )

    def _input_change(self, record: Record, key: str, made: str) -> InputChange:
        return InputChange(self.names.get(key, key[:12]), key, record.trace.inputs.get(key), made)

    def _code_change(self, name: str, record: Record, parts: Mapping[str, str]) -> CodeChange:
        old, new = record.trace.code.get(name), parts.get(name)
        change: Literal["changed", "added", "removed"] = "changed" if old and new else "added" if new else "removed"
        before = self.sources.text(old) if old else ""
        after = self.code.text(name)[1] if new else ""
        return CodeChange(name, change, old, new, _diff(name, record, before, after))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    names = _differing(old, new)
    return tuple(Difference(name, old.get(name, ABSENT), new.get(name, ABSENT)) for name in names)


def _spelt(value: Any) -> str:
    return ABSENT if value == ABSENT else repr(value)


def _diff(name: str, record: Record, before: str | None, after: str) -> tuple[str, ...] | None:
    if before is None:
        return None
    headers = f"{name} (result of {record.when[:10]})", f"{name} (now)"
    return tuple(difflib.unified_diff(before.splitlines(), after.splitlines(), *headers, lineterm=""))


def _distance(record: Record, parts: Mapping[str, str], digests: Mapping[str, str]) -> int:
    inputs = {key: made for key, made in record.trace.inputs.items() if key in digests}
    return len(_differing(record.trace.code, parts)) + len(_differing(inputs, digests))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ, in the order of the newer."""
    return [name for name in {**new, **old} if (name in old, old.get(name)) != (name in new, new.get(name))]


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Walk nested arguments as dotted names; a cell among them is one value, known by its key."""
    if isinstance(value, Mapping) and set(value) == {"cell", "key"}:
        yield where, f"{value['cell']} ({value['key'][:12]})"
    elif isinstance(value, Mapping):
        inline = set(value) == {"cell", "key", "arguments"}
        for name, item in (value["arguments"] if inline else value).items():
            yield from _flat(item, f"{where}.{name}" if where else str(name))
    else:
        yield where, value
