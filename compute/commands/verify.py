"""The command `verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from compute.commands import options
from compute.engine.plan import Step
from compute.engine.upkeep.verify import OUTCOMES, Check, sample, tasks, verify
from compute.errors import RecountError
from compute.forecast import duration
from compute.session import Session

ALL = (*OUTCOMES, "failed")


@click.command()
@click.argument("patterns", nargs=-1, metavar="[CELL]...")
@click.option(
    "--sample", "share", type=click.FloatRange(0, 1, min_open=True), help="Verify this share of the cells, as 0.05."
)
@options.in_study
@options.config
@click.option("--device", default="cpu", show_default=True, help="Where models compute, as cuda.")
@click.option("--jobs", type=click.IntRange(min=1), default=options.cores, help="Cells at a time.")
@options.as_json
def command(
    patterns: tuple[str, ...],
    share: float | None,
    slug: str,
    profile: str,
    changes: tuple[str, ...],
    device: str,
    jobs: int,
    as_json: bool,
) -> None:
    """Compute fresh cells again, each in a clean process, and compare; stored results stay as they are."""
    session = options.open_session(slug, profile, changes)
    planner = session.planner()
    plan = session.plan(planner)
    steps = _chosen(session, [plan.steps[cell.key] for cell in _wanted(session, patterns)], share)
    for opened in session.opened:
        opened.study.check(opened.config)
    wanted = tasks(planner, plan, steps, {"RECOUNT_DEVICE": device})
    checks: list[Check] = []
    for check in verify(wanted, jobs):
        checks.append(check)
        name = session.names[check.task.cell.key]
        click.echo(f"[{len(checks)}/{len(wanted)}] {name} in {duration(check.seconds)}: {check}", err=True)
    session.save()
    options.write_json([_data(session, check) for check in checks]) if as_json else click.echo(
        _summary(session, checks)
    )
    if any(check.outcome in ("different", "failed") for check in checks):
        raise click.exceptions.Exit(options.FAILED)


def _wanted(session: Session, patterns: Sequence[str]) -> list[Any]:
    """Return the cells that the patterns name, all without any, each once and inputs first."""
    if not patterns:
        return list(session.cells.values())
    named = {cell.key for pattern in patterns for cell in session.find(pattern).values()}
    return [cell for cell in session.cells.values() if cell.key in named]


def _chosen(session: Session, steps: Sequence[Step], share: float | None) -> list[Step]:
    """Keep the steps that have a fresh result, and of these the sample."""
    fresh = [step for step in steps if step.fresh]
    if not fresh:
        raise RecountError(f"nothing to verify: none of {len(steps)} cells has a fresh result; build first")
    if len(fresh) < len(steps):
        click.echo(f"{len(steps) - len(fresh)} cells have no fresh result and are left out; build first", err=True)
    return fresh if share is None else sample(fresh, share)


def _summary(session: Session, checks: Sequence[Check]) -> str:
    """Write how many came out how, and each that was not bit-exact."""
    counts = Counter[str](check.outcome for check in checks)
    lines = [f"{outcome:<18}{counts[outcome]:>6}" for outcome in ALL]
    order = sorted(checks, key=lambda check: (ALL.index(check.outcome), check.task.cell.name))
    lines += [f"{session.names[check.task.cell.key]}: {check}" for check in order if check.outcome != "bit-exact"]
    return "\n".join([*lines, f"{len(checks)} cells computed again"])


def _data(session: Session, check: Check) -> dict[str, Any]:
    found = check.deviation
    return {
        "cell": session.names[check.task.cell.key],
        "key": check.task.cell.key,
        "trace": check.task.trace.id,
        "outcome": check.outcome,
        "where": found.where if found else None,
        "absolute": found.absolute if found else None,
        "relative": found.relative if found else None,
        "what": found.what if found else "",
        "error": check.error,
        "seconds": check.seconds,
    }
