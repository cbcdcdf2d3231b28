"""The command `list`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compute.commands import options
from compute.engine.upkeep.builds import Builds
from compute.session import find_root


@click.command()
@click.argument("what", type=click.Choice(["studies", "cells", "builds", "locales", "methods", "profiles"]))
@options.in_study
@options.config
@options.as_json
def command(what: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """List what there is."""
    from compute import listing

    session = options.open_session(slug, profile, changes) if what == "cells" else None
    rows = _builds() if what == "builds" else listing.rows(what, session)
    options.write_json(rows) if as_json else click.echo("\n".join("  ".join(map(str, row.values())) for row in rows))


def _builds() -> list[dict[str, Any]]:
    """Return the builds that are known here, the newest last."""
    found = reversed(list(Builds(find_root(Path.cwd()) / "cache").all()))
    return [{"build": item.id, "subject": str(item.subject), "results": len(item.cells)} for item in found]
