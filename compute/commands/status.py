"""The command `status`."""

from __future__ import annotations

from typing import Any

import click

from compute.commands import options
from compute.engine.plan import Step
from compute.session import Session


@click.command()
@options.slugs
@options.config
@options.as_json
def command(slugs: tuple[str, ...], profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say what is fresh and what would run, and why; compute nothing."""
    session = options.open_session(slugs, profile, changes)
    plan = session.plan()
    session.save()
    if as_json:
        options.write_json([_step(session, step) for step in plan.steps.values()])
        return
    for opened in session.opened:
        steps = [plan.steps[cell.key] for cell in opened.cells]
        fresh = sum(step.fresh for step in steps)
        click.echo(f"{opened.study.slug} ({opened.profile}): {fresh} of {len(steps)} cells fresh")
    for step in plan.to_run:
        click.echo(f"  {session.names[step.cell.key]}: {'; '.join(map(str, step.reasons))}")


def _step(session: Session, step: Step) -> dict[str, Any]:
    reasons = [{"kind": reason.kind, "detail": reason.detail} for reason in step.reasons]
    return {"cell": session.names[step.cell.key], "key": step.cell.key, "fresh": step.fresh, "reasons": reasons}
