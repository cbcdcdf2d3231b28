"""The boxes of a page that say what is lacking, why, since when, and which command mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compute.engine.privacy import redacted
from compute.report import cells
from compute.report.absence import STATES, Absent, counted, moment

if TYPE_CHECKING:
    from compute.report.drawing import Figure
    from compute.session import Opened

MOST = 5
"""Boxes in one place; the rest is counted."""


class Boxes:
    """Writes boxes with the macros of the templates."""

    def __init__(self, macros: Any, opened: Opened) -> None:
        self.macros = macros
        self.command = cells.command(opened)

    def of(self, absences: Sequence[Absent]) -> str:
        """Return boxes for absent cells, the gravest first, those that lack for the same reason in one.

        Of many boxes only the first are there, and how many cells more.
        """
        ordered = sorted({item.cell.key: item for item in absences}.values(), key=lambda item: STATES.index(item.state))
        groups: dict[tuple[str, str], list[Absent]] = {}
        for item in ordered:
            groups.setdefault((item.state, item.why), []).append(item)
        shown, rest = list(groups.values())[:MOST], [item for group in list(groups.values())[MOST:] for item in group]
        return "".join(map(self._box, shown)) + (self._rest(rest) if rest else "")

    def note(self, title: str, text: str) -> str:
        """Return a box that only says something."""
        return f"{self.macros.box('note', title, redacted(text))}\n\n"

    def partial(self, lacking: str) -> str:
        """Return the box above a figure of some results, where *lacking* says how many are missing, if any are."""
        return self.note("The figure below shows a part", f"{lacking}; it is drawn from the rest") if lacking else ""

    def chart(self, figure: Figure) -> str:
        """Return the markup of a figure."""
        return str(self.macros.chart(figure))

    def _box(self, group: Sequence[Absent]) -> str:
        first = group[0]
        if len(group) == 1:
            title, facts, details, href = first.name, first.facts, first.details, cells.link(first.cell)
        else:
            since = min(item.since for item in group)
            title, facts, href = f"{len(group)} results", [f"since {moment(since)}"] if since else [], "cells/"
            details = "\n".join(f"{item.name}: {' · '.join(item.facts) or 'no earlier result'}" for item in group)
        box = self.macros.box(first.state, title, first.why, self.command, details, facts=facts, href=href)
        return f"{box}\n\n"

    def _rest(self, rest: Sequence[Absent]) -> str:
        return f"{self.macros.box('note', f'and {len(rest)} more', counted(rest), href='cells/')}\n\n"
