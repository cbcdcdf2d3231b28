"""The record of one result: what it was made from, by which code, where, and at what cost.

Holds no tokens, no names of users or hosts, no paths: see `privacy`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from typing import Any

from compute.engine import files
from compute.engine.cell import Cell
from compute.engine.code import fingerprint
from compute.engine.keys import Input, canonical, dumps, hashed
from compute.engine.privacy import redacted

SCHEMA = 2
JOBLIB = "joblib"
"""The member of a record's arguments that tells a result of a function under `joblib.Memory` from those of cells."""


@dataclass(frozen=True)
class Trace:
    """Under what a result was made: the code that it reached and the results that it read."""

    code: Mapping[str, str]
    """Definition or library → hash or version."""
    inputs: Mapping[str, str]
    """Key of each stored input → digest of its result."""
    id: str = ""
    """The hash of the trace, 16 hexadecimal digits: results of one key are kept apart by it."""

    def __post_init__(self) -> None:
        """Work the id out where it is not known."""
        if not self.id:
            object.__setattr__(self, "id", trace_id(fingerprint(self.code), self.inputs))


def trace_id(code: str, inputs: Mapping[str, str]) -> str:
    """Return the id of the trace with this *code* fingerprint and these digests of inputs by key.

    The schema is part of it, so that results of other versions of the tool lie beside ours, and stay.
    """
    return hashed(["trace", SCHEMA, code, *sorted(map(list, inputs.items()))])[:16]


@dataclass(frozen=True)
class Cost:
    """What computing a result took."""

    seconds: float
    """Wall-clock time, loading the inputs included, writing the result not."""
    cpu_seconds: float
    """Time on all cores together, that of child processes that have ended included."""
    peak_memory: int
    """Bytes: the highest resident size of the process while it computed the cell, on Linux; what the process had
    loaded before counts, as do other cells that run beside it in threads. Elsewhere, and where the kernel lets no
    process reset its mark, the highest until then."""


@dataclass(frozen=True)
class Record:
    """Provenance of one stored result."""

    key: str
    name: str
    function: str
    arguments: Mapping[str, Any]
    trace: Trace
    digest: str
    size: int
    """Bytes of the payload."""
    files: Mapping[str, str]
    cost: Cost
    seed: int | None
    when: str
    """UTC, ISO 8601, to the second."""
    environment: Mapping[str, Any]
    accepted: Mapping[str, str] | None = None
    """Where a person vouched for the result under this code: `reason`, `when`, and the trace it was made `under`."""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Write the record as JSON, sealed by a digest of its own."""
        members = self.members()
        return json.dumps({**members, "seal": _seal(members)}, sort_keys=True, ensure_ascii=False)

    def members(self) -> dict[str, Any]:
        """Return the record as plain data, which is the record's own: not to be changed."""
        return {**vars(self), "trace": vars(self.trace), "cost": vars(self.cost)}

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """Read a record; ValueError if it is damaged or of another schema."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"not a record of schema {SCHEMA}")
        if found.pop("seal", None) != _seal(found):
            raise ValueError("a record whose bytes are not those that were written")
        try:
            found["trace"] = Trace(**found["trace"])
            found["cost"] = Cost(**found["cost"])
            return cls(**found)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a whole record: {error}") from error


def _seal(members: Mapping[str, Any]) -> str:
    return sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()


def readable(value: object) -> Any:
    """Return *value* as plain data for people: inputs by identity, cells by name and key.

    A cell that is not kept has its arguments, too: no record of its own shows them.
    """
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Cell):
        named = {"cell": redacted(value.name), "key": value.key}
        return named if value.function.store else {**named, "arguments": readable(value.arguments)}
    if isinstance(value, Mapping):
        return {redacted(str(name)): readable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    if isinstance(value, set | frozenset):
        return [readable(item) for item in sorted(value, key=lambda item: dumps(canonical(item)))]
    if isinstance(value, Input):
        return {type(value).__name__: readable(value.identity(files.digest))}
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: readable(getattr(value, member.name)) for member in fields(value)}
    return value
