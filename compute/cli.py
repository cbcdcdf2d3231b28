"""The command line: parses, calls, prints. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from compute import study as studies
from compute.console import display
from compute.engine.build import Results
from compute.engine.plan import Plan, Planner, Step
from compute.errors import RecountError, UsageError
from compute.session import Session, find_root

USAGE, FAILED, INTERRUPTED = 2, 1, 130


class Commands(click.Group):
    """A group whose foreseen errors are one line, and whose exit codes mean something."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn our errors into a line and a code."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            _exit(f"error: {error}", USAGE)
        except RecountError as error:
            _exit(f"error: {error}", FAILED)
        except KeyboardInterrupt:
            _exit("interrupted: what was finished is kept; the same command goes on from there", INTERRUPTED)


def _exit(line: str, code: int) -> None:
    click.echo(line, err=True)
    raise click.exceptions.Exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Turn experiment configs into a living report site."""


def _study_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which studies, and under which config."""
    for option in (
        click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one config value."),
        click.option("--profile", default="mini", show_default=True, help="The named config."),
    ):
        function = option(function)
    return function


_json = click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
_studies = click.argument("slugs", nargs=-1, metavar="[STUDY]...")
_in_study = click.option("--study", "slug", default="", help="Look in this study alone.")
_jobs = click.option("--jobs", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1, help="Cells at a time.")
_device = click.option("--device", default="cpu", show_default=True, help="Where models compute, as cuda.")


def _open(slugs: Sequence[str], profile: str, changes: Sequence[str]) -> Session:
    session = Session(find_root(Path.cwd()))
    session.open(slugs or studies.slugs(), profile, changes)
    return session


@main.command()
@_studies
@click.option("--all", "everything", is_flag=True, help="All studies.")
@_study_options
@_jobs
@_device
@click.option("--force", multiple=True, metavar="CELL", help="Run this cell in any case (name, prefix or glob).")
@click.option("--dry-run", is_flag=True, help="Say what would run and why; run nothing, write nothing.")
def build(
    slugs: tuple[str, ...],
    everything: bool,
    profile: str,
    changes: tuple[str, ...],
    jobs: int,
    device: str,
    force: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Compute what is missing or stale, and write the pages."""
    if everything == bool(slugs):
        raise UsageError(f"name the studies, or all by --all; known: {', '.join(studies.slugs())}")
    session = _open(slugs, profile, changes)
    planner = session.planner(force)
    plan = session.plan(planner)
    if dry_run:
        _print_steps(session, plan.to_run)
        return
    results = _compute(session, planner, plan, device, jobs)
    written = session.write_pages(results)
    session.save()
    click.echo(f"{_summary(plan, results)}; {written} files written")
    _exit_for(results)


def _compute(session: Session, planner: Planner, plan: Plan, device: str, jobs: int) -> Results:
    """Carry out a plan under a display."""
    os.environ["RECOUNT_DEVICE"] = device
    with display(len(plan.to_run), session.forecast(plan, jobs)) as observer:
        return session.compute(plan, planner, observer, jobs)


def _summary(plan: Plan, results: Results) -> str:
    computed, failed, blocked = len(results.computed), len(results.failures), len(results.blocked)
    fresh = len(plan.steps) - computed - failed - blocked
    return f"{len(plan.steps)} cells: {computed} computed, {fresh} fresh, {failed} failed, {blocked} blocked"


def _exit_for(results: Results) -> None:
    for failure in results.failures.values():
        click.echo(f"failed: {failure.name}: {failure.error}", err=True)
    if not results.whole:
        raise click.exceptions.Exit(FAILED)


def _print_steps(session: Session, steps: Sequence[Step]) -> None:
    for step in steps:
        click.echo(f"{session.names[step.cell.key]}: {'; '.join(map(str, step.reasons))}")
    click.echo(f"{len(steps)} cells would run")


@main.command()
@_studies
@_study_options
@_json
def status(slugs: tuple[str, ...], profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say what is fresh and what would run, and why; compute nothing."""
    session = _open(slugs, profile, changes)
    plan = session.plan()
    session.save()
    if as_json:
        _write([_step(session, step) for step in plan.steps.values()])
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


@main.command()
@click.argument("pattern", metavar="CELL")
@_in_study
@_study_options
@_json
def why(pattern: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say why a cell will run, against the nearest result that exists."""
    from compute.explain import explanation

    session = _open([slug] if slug else [], profile, changes)
    plan = session.plan()
    found = [explanation(session.store, plan.steps[cell.key]) for cell in session.find(pattern).values()]
    if as_json:
        _write([item.as_data() for item in found])
        return
    for item in found:
        click.echo("\n".join(item.lines()))


@main.command()
@click.argument("pattern", metavar="CELL")
@_in_study
@_study_options
@_json
def show(pattern: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Show a cell: its arguments, code, inputs, and the record and value of its result."""
    from compute.explain import described

    session = _open([slug] if slug else [], profile, changes)
    plan = session.plan()
    found = [described(session, plan.steps[cell.key]) for cell in session.find(pattern).values()]
    _write(found) if as_json else click.echo("\n\n".join(_yaml(item) for item in found))


@main.command()
@click.argument("pattern", metavar="CELL")
@_in_study
@_study_options
@_jobs
@_device
def run(pattern: str, slug: str, profile: str, changes: tuple[str, ...], jobs: int, device: str) -> None:
    """Run one cell again (name, prefix or glob), with what it needs; the next build writes the pages."""
    session = _open([slug] if slug else [], profile, changes)
    planner = session.planner([pattern])
    plan = planner.plan(session.find(pattern).values())
    results = _compute(session, planner, plan, device, jobs)
    session.save()
    click.echo(_summary(plan, results))
    _exit_for(results)


@main.command("list")
@click.argument("what", type=click.Choice(["studies", "cells", "locales", "methods", "profiles"]))
@_in_study
@_study_options
@_json
def list_(what: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """List what there is."""
    from compute import listing

    session = _open([slug] if slug else [], profile, changes) if what == "cells" else None
    rows = listing.rows(what, session)
    _write(rows) if as_json else click.echo("\n".join("  ".join(map(str, row.values())) for row in rows))


@main.command()
@click.argument("slug", metavar="STUDY")
@click.option("--profile", required=True, help="The profile whose hub repositories are pinned.")
def pin(slug: str, profile: str) -> None:
    """Pin the hub repositories of a profile to their present commits."""
    from compute.pin import write_lock

    click.echo(write_lock(studies.load(slug), profile))


def _write(data: Any) -> None:
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def _yaml(data: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip()


if __name__ == "__main__":
    sys.exit(main())
