"""The command `accept`."""

from __future__ import annotations

import click

from compute.commands import options


@click.command()
@click.argument("patterns", nargs=-1, required=True, metavar="CELL...")
@click.option("--reason", required=True, help="Why the change of code changes no result; the page shows it.")
@options.in_study
@options.config
@options.as_json
def command(
    patterns: tuple[str, ...], reason: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool
) -> None:
    """Vouch for results whose code changed: they count as made by the present code; nothing is computed."""
    from compute.engine.upkeep.accept import accept

    session = options.open_session(slug, profile, changes)
    cells = {cell.key: cell for pattern in patterns for cell in session.find(pattern).values()}
    answers = accept(session.planner(), cells.values(), reason)
    session.save()
    accepted = [item for item in answers if item.record]
    refused = [item for item in answers if item.refused]
    if as_json:
        options.write_json(
            {
                "accepted": [session.names[item.cell.key] for item in accepted],
                "fresh": [session.names[item.cell.key] for item in answers if not item.record and not item.refused],
                "refused": {session.names[item.cell.key]: item.refused for item in refused},
            }
        )
    else:
        for item in accepted:
            click.echo(f"accepted {session.names[item.cell.key]}")
        for item in refused:
            click.echo(f"refused: {session.names[item.cell.key]}: {item.refused}", err=True)
        fresh = len(answers) - len(accepted) - len(refused)
        click.echo(f"{len(accepted)} accepted, {fresh} fresh as they are, {len(refused)} refused")
    if refused:
        raise click.exceptions.Exit(options.FAILED)
