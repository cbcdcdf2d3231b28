"""All that is known of a study's cells when its pages are written: results, absences, verifications, acceptances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compute.engine.privacy import redacted
from compute.engine.upkeep import verify
from compute.report.absence import Absences, Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compute.engine.build import Results
    from compute.engine.cell import Cell
    from compute.engine.code import Code
    from compute.engine.record import Record
    from compute.engine.store import Store
    from compute.engine.upkeep.verify import Verification
    from compute.session import Opened

LOOKS = {"bit-exact": "good", "within tolerance": "accent", "different": "bad"}
"""How the badge of an outcome looks."""


@dataclass(frozen=True)
class Known:
    """The cells of one study, and what a build and the store tell of them."""

    store: Store
    code: Code
    opened: Opened
    results: Results

    @cached_property
    def absences(self) -> Absences:
        """How cells without a fresh result stand."""
        return Absences(self.store, self.code, self.results)

    @cached_property
    def absent(self) -> list[Absent]:
        """The cells without a fresh result."""
        return [found for cell in self.opened.cells if (found := self.absences.of(cell))]

    @cached_property
    def verified(self) -> dict[str, Verification]:
        """How results came out when they were computed again, by the key of the cell."""
        stamps = self.results.records.stamps
        found = {
            cell.key: verify.read(self.store, stamps[cell.key]) for cell in self.opened.cells if cell.key in stamps
        }
        return {key: verification for key, verification in found.items() if verification}

    def records(self, cells: Sequence[Cell]) -> list[Record]:
        """Return the records of those cells that have a fresh result."""
        return [record for cell in cells if (record := self.results.records.get(cell.key))]

    def verification(self) -> dict[str, Any] | None:
        """Sum up for the page what was verified; None if nothing was."""
        if not self.verified:
            return None
        counts = Counter[str](item.outcome for item in self.verified.values())
        farthest = [
            item.deviation["relative"]
            for item in self.verified.values()
            if item.deviation and not item.deviation["what"]
        ]
        return {
            "cells": len(self.verified),
            "outcomes": [
                {"word": word, "count": counts[word], "look": look} for word, look in LOOKS.items() if counts[word]
            ],
            "farthest": verify.roughly(max(farthest, default=0)),
            "when": max(item.when for item in self.verified.values()),
        }

    def accepted(self) -> list[dict[str, Any]]:
        """Return the results that a person accepted for the present code: cell, reason, day."""
        return [
            {"cell": cell, "name": redacted(cell.name), **record.accepted}
            for cell in self.opened.cells
            if (record := self.results.records.get(cell.key)) and record.accepted
        ]
