"""A study of trivial cells whose page is compared with a golden file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compute.engine.cell import Cell, cell
from compute.study import Column, Evidence, Row, Study, Table, claim

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Config:
    locales: tuple[str, ...] = ("sq-AL", "sw-KE", "vi-VN")


@cell(label="{locale}")
def score(locale: str, weight: float) -> dict[str, float]:
    if locale == "vi-VN":
        raise ValueError("no data for vi-VN")
    return {"accuracy": weight, "low": weight - 0.05, "high": weight + 0.05}


@cell(label="{of}")
def doubled(of: dict[str, float]) -> dict[str, float]:
    return {name: 2 * value for name, value in of.items()}


def results(config: Config) -> dict[str, list[Row] | Cell]:
    weights = (0.25, 0.4, 0.1)
    scores = {locale: score(locale, weight) for locale, weight in zip(config.locales, weights, strict=True)}
    whole = [{"locale": locale, "score": scores[locale]} for locale in config.locales[:2]]
    broken = [{"locale": locale, "score": of, "twice": doubled(of)} for locale, of in scores.items()]
    return {"whole": whole, "broken": broken}


@claim("Half of all is a lot, if a < b & b > a.", source="Table 1")
def half(whole: DataFrame) -> Evidence:
    return Evidence(bool((whole["score_low"] > 0.3).all()), f"{whole['score_accuracy'].min():.0%} at least")


@claim("What cannot be computed cannot be judged.", source="Table 2")
def unknown(broken: DataFrame) -> Evidence:
    return Evidence(True, "never reached")


ACCURACY = Column("score_accuracy", "Accuracy", "percent", "score_low", "score_high", best="highest")

study = Study(
    title="A golden study",
    summary="Do pages come out as they should?",
    config=Config,
    results=results,
    tables=(
        Table(
            "whole",
            "whole",
            "Published beside measured",
            (Column("locale", "Locale", "locale"), ACCURACY, Column("published_accuracy", "Published", "percent")),
            published="table",
            on=("locale",),
        ),
        Table("broken", "broken", "With a failure", (Column("locale", "Locale", "locale"), ACCURACY)),
    ),
    claims=(half, unknown),
    implied=lambda published: [
        {"statement": "the sum", "stated": "65 %", "implied": "65.0 %", "follows": bool(published)}
    ],
    folder=Path(__file__).parent / "golden_study",
)
