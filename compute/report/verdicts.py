"""Judges a study's claims by its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compute.report.absence import counted
from compute.report.assemble import Assembled, call
from compute.study import Claim, Evidence, Table

VERDICTS = {True: "holds", False: "does not hold", None: "cannot be told"}


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and what it rests on."""

    name: str
    sentence: str
    source: str
    verdict: str
    measured: str
    why: str
    href: str
    """The table with the numbers that decided, on the same page; empty if none shows them."""


def judge(claim: Claim, assembled: Mapping[str, Assembled], tables: Sequence[Table]) -> Judged:
    """Judge a claim; *tables* are those of the page.

    A result that is lacking leaves the claim open: the rest is no sample of the whole, and what fails may well
    be what would have decided.
    """
    evidence = lacking([assembled[name] for name in claim.needs]) or call(claim, assembled)
    verdict = VERDICTS[evidence.holds]
    href = next((f"#table-{table.name}" for table in tables if table.rows in claim.needs), "")
    return Judged(claim.name, claim.sentence, claim.source, verdict, evidence.measured, evidence.why, href)


def lacking(needed: Sequence[Assembled]) -> Evidence | None:
    """Return what to say of a claim whose results are not all there, or None."""
    text = share(needed)
    return Evidence(None, "", text) if text else None


def share(needed: Sequence[Assembled]) -> str:
    """Say how many of the results are missing, each counted once; empty if none is."""
    absent = {item.cell.key: item for part in needed for item in part.absent}
    total = len({cell.key for part in needed for cell in part.sources})
    if not absent:
        return ""
    verb = "result is" if total == 1 else "results are"
    return f"{len(absent)} of {total} {verb} missing ({counted(list(absent.values()))})"
