"""The command `gc`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from compute.commands import options
from compute.engine.leases import Leases
from compute.engine.upkeep import gc
from compute.errors import RecountError, UsageError
from compute.report import formats
from compute.session import Session, find_root

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.option("--keep-days", type=click.FloatRange(min=0, max=36500), default=30, show_default=True,
              help="Keep what was made or built within so many days.")  # fmt: skip
@click.option("--max-bytes", "most", default="", metavar="SIZE",
              help="Remove also younger results that nothing wants, down to a size such as 10GB.")  # fmt: skip
@options.as_json
def command(dry_run: bool, keep_days: float, most: str, as_json: bool) -> None:
    """Remove the results that no study wants under any profile, that are not pinned, and that are old."""
    from compute import housekeeping

    rules = gc.Rules(timedelta(days=keep_days), size(most) if most else None)
    session = Session(find_root(Path.cwd()))
    leases = Leases(session.cache)
    if not dry_run and leases.anybody():
        raise RecountError("a build is at work on this cache: run gc again when it has ended, or with --dry-run now")
    wanted = housekeeping.wanted(session)
    for name, why in wanted.closed.items():
        click.echo(f"{name}: cannot be opened: {why}", err=True)
    sweep = gc.choose(session.store, wanted.roots, rules)
    if not dry_run:
        _remove(session, sweep, leases)
    options.write_json(_data(sweep, wanted.closed, rules, dry_run)) if as_json else _print(sweep, rules, dry_run)


def size(text: str) -> int:
    """Return the bytes of a text such as 10GB, 512 MiB or 1000; UsageError for another."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"--max-bytes {text!r}: expected a number and a unit, as in 10GB or 512MiB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def _remove(session: Session, sweep: gc.Sweep, leases: Leases) -> None:
    try:
        gc.remove(session.store, sweep)
        session.store.sweep()
    except OSError as error:
        raise RecountError(f"cannot remove from {session.cache.name}/: {error.strerror}") from error
    leases.sweep()


def _data(sweep: gc.Sweep, closed: Any, rules: gc.Rules, dry_run: bool) -> dict[str, Any]:
    results, others = sweep.by_function(), sweep.by_kind()
    return {
        "dry_run": dry_run,
        "results": {name: {"count": count, "bytes": total} for name, (count, total) in results.items()},
        "others": {name: {"count": count, "bytes": total} for name, (count, total) in others.items()},
        "kept": sweep.kept,
        "freed": sweep.freed,
        "left": sweep.left,
        "above": rules.most is not None and sweep.left > rules.most,
        "not_opened": dict(closed),
    }


def _print(sweep: gc.Sweep, rules: gc.Rules, dry_run: bool) -> None:
    for name, (count, total) in sweep.by_function().items():
        click.echo(f"  {name}: {_counted(count, 'result')}, {formats.size(total)}")
    for name, (count, total) in sweep.by_kind().items():
        click.echo(f"  {name}: {count}, {formats.size(total)}")
    done = "would be removed" if dry_run else "removed"
    removed = f"{_counted(len(sweep.results), 'result')} {done}, {formats.size(sweep.freed)}"
    click.echo(f"{removed}; {sweep.kept} stay, {formats.size(sweep.left)}")
    if rules.most is not None and sweep.left > rules.most:
        click.echo(f"still above {formats.size(rules.most)}: what is left is wanted by a study or pinned", err=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
