"""A study of trivial cells of which some can be made to fail, and of which a part is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.engine.cell import Cell, cell
from compute.study import Column, Evidence, Row, Study, Table, claim, figure

if TYPE_CHECKING:
    from pandas import DataFrame

LOCALES = ("sq-AL", "sw-KE", "vi-VN", "de-DE", "fr-FR")
FAILING = "vi-VN"

drawn: list[Any] = []
"""The data frames that the figure was asked to draw."""


@dataclass(frozen=True)
class Config:
    locales: tuple[str, ...] = LOCALES


@cell(label="{locale}")
def score(locale: str) -> dict[str, float]:
    if locale == FAILING:
        raise ValueError(f"no data for {FAILING}")
    return {"accuracy": 0.5, "low": 0.4, "high": 0.6}


@cell(label="{of}")
def twice(of: dict[str, float]) -> dict[str, float]:
    return {"accuracy": 2 * of["accuracy"]}


@cell()
def listing() -> list[dict[str, Any]]:
    return [{"locale": "sq-AL", "rank": 1}]


def results(config: Config) -> dict[str, list[Row] | Cell]:
    scores = {locale: score(locale) for locale in config.locales}
    rows = [{"locale": locale, "score": of} for locale, of in scores.items()]
    doubled = [{"locale": locale, "twice": twice(of)} for locale, of in scores.items()]
    return {"scores": rows, "doubled": doubled, "listing": listing()}


@figure("All scores.")
def overview(scores: DataFrame) -> Any:
    drawn.append(scores)
    raise KeyError("fr-FR")


@claim("All are half.", source="Table 1")
def half(scores: DataFrame) -> Evidence:
    return Evidence(bool((scores["score_accuracy"] == 0.5).all()), f"{len(scores)} rows")


LOCALE = Column("locale", "Locale", "locale")
ACCURACY = Column("score_accuracy", "Accuracy", "percent", "score_low", "score_high", best="highest")

study = Study(
    title="A patchy study",
    summary="What if a part is missing?",
    config=Config,
    results=results,
    tables=(
        Table("scores", "scores", "All scores", (LOCALE, ACCURACY)),
        Table("listing", "listing", "A list", (LOCALE, Column("rank", "Rank", "number"))),
    ),
    figures=(overview,),
    claims=(half,),
    folder=Path(__file__).parent / "patchy_study",
)
