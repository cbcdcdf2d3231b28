"""The time left is told from what cells of the same function took."""

from __future__ import annotations

from compute.cells.data import utterances
from compute.cells.models import tokenizer
from compute.evaluation.sources import PhrasebookData
from compute.forecast import Forecast, duration


def test_what_was_never_seen_makes_the_forecast_a_lower_bound() -> None:
    source = PhrasebookData(0, 4, 2, 2)
    corpora = {locale: utterances(source, locale) for locale in ("sq-AL", "de-DE", "it-IT")}
    first, second, third = corpora.values()
    forecast = Forecast([first, second, third, tokenizer(corpora, 100)], [], width=2)
    forecast.took(first, 3.0)
    assert str(forecast) == "more than 3.0 s left", "two cells of 3 s on two workers, and one unknown"
    forecast.took(tokenizer(corpora, 100), 1.0)
    assert str(forecast) == "about 3.0 s left"
    forecast.took(second, None)
    assert str(forecast) == "about 1.5 s left", "a reused cell took no time, and says nothing of the others"
    forecast.took(third, 3.0)
    assert str(forecast) == ""


def test_durations_are_written_as_people_read_them() -> None:
    assert [duration(s) for s in (0.04, 59.9, 61, 3725)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]
