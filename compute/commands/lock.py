"""The command `lock`."""

from __future__ import annotations

import click

from compute import study as studies


@click.command()
@click.argument("slug", metavar="STUDY")
@click.option("--profile", required=True, help="The profile whose hub repositories are locked.")
def command(slug: str, profile: str) -> None:
    """Lock the hub repositories of a profile to their present commits."""
    from compute.lock import write_lock

    click.echo(write_lock(studies.load(slug), profile))
