"""The command `why`."""

from __future__ import annotations

import re

import click

from compute.commands import options

_COLOURS = (
    (re.compile(r" {6}(---|\+\+\+) "), {"bold": True}),
    (re.compile(r" {6}@@"), {"fg": "cyan"}),
    (re.compile(r" {6}\+"), {"fg": "green"}),
    (re.compile(r" {6}-"), {"fg": "red"}),
    (re.compile(r"\S"), {"bold": True}),
)
"""How a line looks, by how it begins: lines of diffs stand six in. What is no terminal gets them plain."""


@click.command()
@click.argument("pattern", metavar="CELL")
@options.in_study
@options.config
@options.as_json
def command(pattern: str, slug: str, profile: str, changes: tuple[str, ...], as_json: bool) -> None:
    """Say why a cell will run, with what differs from the nearest result: config, code, libraries, inputs."""
    from compute.explain import explanation

    session = options.open_session(slug, profile, changes)
    plan = session.plan()
    found = [explanation(session, plan, plan.steps[cell.key]) for cell in session.find(pattern).values()]
    if as_json:
        options.write_json([item.as_data() for item in found])
        return
    for item in found:
        for line in item.lines():
            click.echo(_styled(line))


def _styled(line: str) -> str:
    look = next((look for start, look in _COLOURS if start.match(line)), {})
    return click.style(line, **look) if look else line
