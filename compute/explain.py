"""Says why a cell will run, against the nearest result that exists, and shows what is kept of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from compute.engine.plan import Step
from compute.engine.record import Record, readable
from compute.engine.store import Store

if TYPE_CHECKING:
    from compute.session import Session

LONGEST = 2000
"""Characters of a result that `show` prints."""


@dataclass(frozen=True)
class Difference:
    """One value of a call that differs from the nearest result's."""

    argument: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Explanation:
    """Why one cell will run, or that it will not."""

    step: Step
    record: Record | None
    nearest: Record | None
    differences: tuple[Difference, ...]

    def as_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "cell": self.step.cell.name,
            "key": self.step.cell.key,
            "fresh": self.step.fresh,
            "reasons": [asdict(reason) for reason in self.step.reasons],
            "nearest": self.nearest.key if self.nearest else None,
            "differences": [asdict(item) for item in self.differences],
        }

    def lines(self) -> Iterator[str]:
        """Say it in lines."""
        if self.record:
            yield f"{self.step.cell.name} is fresh: computed {self.record.when}"
            return
        yield f"{self.step.cell.name} will run"
        yield from (f"  {reason}" for reason in self.step.reasons)
        if self.nearest and self.differences:
            yield f"  nearest result: {self.nearest.name}, computed {self.nearest.when}; it differs in"
            yield from (f"    {item.argument}: {item.old!r} → {item.new!r}" for item in self.differences)


def explanation(store: Store, step: Step) -> Explanation:
    """Explain a step: its reasons and, where no result of its key exists, the config values that differ."""
    if step.fresh or store.others(step.cell.key):
        return Explanation(step, store.record(step.stamp) if step.stamp else None, None, ())
    arguments = dict(_flat(readable(step.cell.arguments)))
    candidates = [(_differences(record, arguments), record) for record in store.all(step.cell.function.name)]
    if not candidates:
        return Explanation(step, None, None, ())
    differences, nearest = min(candidates, key=lambda item: (item[1].name != step.cell.name, len(item[0]), item[1].key))
    return Explanation(step, None, nearest, tuple(differences))


def _differences(record: Record, arguments: Mapping[str, Any]) -> list[Difference]:
    old = dict(_flat(record.arguments))
    names = [name for name in {**old, **arguments} if old.get(name) != arguments.get(name)]
    return [Difference(name, old.get(name), arguments.get(name)) for name in names]


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


def described(session: Session, step: Step) -> dict[str, Any]:
    """Return what there is to know of a cell as plain data."""
    cell, record = step.cell, session.store.record(step.stamp) if step.stamp else None
    return {
        "cell": cell.name,
        "key": cell.key,
        "state": "fresh" if record else "; ".join(map(str, step.reasons)),
        "arguments": readable(cell.arguments),
        "inputs": [item.name for item in cell.inputs],
        "code": session.code.parts(cell),
        "record": asdict(record) if record else None,
        "result": _shortened(session.store.load(record)) if record else None,
    }


def _shortened(value: Any) -> Any:
    """Return a result as plain data, long ones cut."""
    if isinstance(value, Mapping):
        return {str(name): _shortened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value[:20]] + ([f"… {len(value)} in all"] if len(value) > 20 else [])
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else _summary(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … {len(text)} characters in all"


def _summary(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} {tuple(shape)}" if shape is not None else str(value)
