"""Judges a study's claims by its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compute.report.assemble import Assembled, call
from compute.study import Claim, Evidence

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


def judge(claim: Claim, assembled: Mapping[str, Assembled]) -> Judged:
    """Judge a claim; results that are lacking leave it open."""
    absent = [item for name in claim.needs for item in assembled[name].absent]
    if absent:
        evidence = Evidence(None, "", f"{len(absent)} results that it needs are lacking")
    else:
        evidence = call(claim, assembled)
    verdict = VERDICTS[evidence.holds]
    return Judged(claim.name, claim.sentence, claim.source, verdict, evidence.measured, evidence.why)
