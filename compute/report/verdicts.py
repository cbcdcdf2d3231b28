"""Judges a study's claims by its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """Judge a claim; results that are lacking leave it open. *tables* are those of the page."""
    absent = [item for name in claim.needs for item in assembled[name].absent]
    if absent:
        evidence = Evidence(None, "", f"{len(absent)} results that it needs are lacking")
    else:
        evidence = call(claim, assembled)
    verdict = VERDICTS[evidence.holds]
    href = next((f"#table-{table.name}" for table in tables if table.rows in claim.needs), "")
    return Judged(claim.name, claim.sentence, claim.source, verdict, evidence.measured, evidence.why, href)
