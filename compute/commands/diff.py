"""The command `diff`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compute.commands import options
from compute.engine.store import Store
from compute.engine.upkeep.builds import Builds
from compute.session import find_root

if TYPE_CHECKING:
    from compute.differences import Cause, Change, Comparison, Effect, Verdict
    from compute.engine.upkeep.deltas import Delta

MOST, FEW = 10, 3
"""Lines of a list, and of the places in one result, that are printed; --json has all."""


@click.command()
@click.argument("old", default="", metavar="[A]")
@click.argument("new", default="", metavar="[B]")
@options.as_json
def command(old: str, new: str, as_json: bool) -> None:
    """Compare two builds: what changed, by how much and because of what, and which claims flipped.

    A and B are ids of builds or their beginnings, pins, latest, or latest~1 for the one before of the same studies
    and profile. Without B, A is compared with the latest; without both, the last two are.
    """
    from compute.differences import compare

    cache = find_root(Path.cwd()) / "cache"
    builds = Builds(cache)
    first, second = builds.find(old or "latest~1"), builds.find(new or "latest")
    found = compare(Store(cache), first, second)
    options.write_json(found.as_data()) if as_json else click.echo("\n".join(lines(found)))


def lines(found: Comparison) -> Iterator[str]:
    """Say the differences in lines, those that matter most first."""
    yield f"{found.old.id} → {found.new.id}: {found.new.subject}"
    data = found.as_data()
    yield from _verdicts(found.verdicts)
    changes = {item.name: item for item in found.changed}
    for effect in found.effects:
        yield from _effect(effect, changes)
    explained = {cause.id for effect in found.effects for cause in effect.causes}
    rest = [_cause(item) for item in found.config if item.id not in explained]
    yield from _list("config changed that no compared result depends on", rest)
    yield from _list("new cells", found.added)
    yield from _list("cells gone", found.gone)
    for word in ("failed", "blocked"):
        yield from _list(f"{word} now", data[word]["now"])
        yield from _list(f"{word} no longer", data[word]["before"])
    if not (found.changed or found.added or found.gone or found.verdicts):
        yield "no result and no verdict differs"


def _verdicts(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    flipped = [item for item in verdicts if item.flipped]
    yield from _list("claims flipped", [_verdict(item) for item in flipped])
    moved = [f"{item.study}, {item.claim}: {_measured(item)}" for item in verdicts if not item.flipped]
    yield from _list("claims measured otherwise", moved)


def _verdict(item: Verdict) -> str:
    old, new = ((side or {}).get("verdict", "none") for side in (item.old, item.new))
    return f"{item.study}, {item.claim}: {old} → {new} ({_measured(item)})"


def _measured(item: Verdict) -> str:
    old, new = ((side or {}).get("measured") or "nothing" for side in (item.old, item.new))
    return f"measured {old} → {new}"


def _effect(effect: Effect, changes: Mapping[str, Change]) -> Iterator[str]:
    cells = sorted((changes[name] for name in effect.cells), key=lambda item: (-item.rank, item.name))
    other = [item for item in cells if "digest" in item.parts]
    for number, cause in enumerate(effect.causes):
        yield f"{'because of' if number == 0 else '       and'} {_cause(cause)}"
    yield f"  {_counted(len(cells), 'cell')} changed, {len(other)} with another result"
    for change in other[:MOST]:
        yield f"    {change.name}{f': {change.note}' if change.note else ''}"
        yield from (f"      {_delta(item)}" for item in change.deltas[:FEW])
        if len(change.deltas) > FEW:
            yield f"      … {len(change.deltas)} places in all"
    if len(other) > MOST:
        yield f"    … {len(other)} in all"


def _cause(cause: Cause) -> str:
    if cause.kind == "code":
        word = "new" if cause.old is None else "removed" if cause.new is None else "edited"
        return f"code {cause.name} ({word})"
    if cause.kind == "outcome":
        return f"{cause.name}: the same call by the same code gave another result"
    if cause.kind == "unknown":
        return cause.name
    return f"{cause.kind} {cause.name}: {_plain(cause.old)} → {_plain(cause.new)}"


def _delta(item: Delta) -> str:
    where = item.where or "result"
    if item.kind == "number":
        return f"{where}: {_plain(item.old)} → {_plain(item.new)} ({item.new - item.old:+.4g})"
    if item.kind in ("column", "array"):
        means = f"mean {_plain(item.old)} → {_plain(item.new)}"
        return f"{where}: {item.differ} of {item.of} differ, by {item.largest:.4g} at most; {means}"
    if item.kind in ("new", "gone"):
        return f"{where}: {item.kind}, {_plain(item.old if item.kind == 'gone' else item.new)}"
    if item.kind == "files":
        return f"{where}: {item.old}: {item.new}"
    if item.kind == "value" and item.new is None:
        return f"{where}: {item.old}"
    kind = f"{item.kind} " if item.kind in ("rows", "shape") else ""
    return f"{where}: {kind}{_plain(item.old)} → {_plain(item.new)}"


def _plain(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _list(title: str, items: Any) -> Iterator[str]:
    if items:
        yield f"{title}: {len(items)}"
        yield from (f"  {item}" for item in items[:MOST])
        if len(items) > MOST:
            yield f"  … {len(items) - MOST} more"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
