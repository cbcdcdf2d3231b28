"""What a build shows while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from compute.cells.data import utterances
from compute.console import Lines, Live, display
from compute.engine.cell import Cell
from compute.engine.record import Cost, Record, Trace
from compute.engine.store import Failure
from compute.evaluation.sources import PhrasebookData
from compute.forecast import Forecast

CELLS = [utterances(PhrasebookData(0, 4, 2, 2), locale) for locale in ("sq-AL", "de-DE")]


def record(cell: Cell, seconds: float) -> Record:
    cost = Cost(seconds, seconds, 0)
    return Record(cell.key, cell.name, "utterances", {}, Trace({}, {}, "t"), "", 0, {}, cost, None, "", {})


def failure(cell: Cell) -> Failure:
    return Failure(cell.key, cell.name, "t", "ValueError: no data", "", 2, "")


def test_plain_output_is_one_line_an_event() -> None:
    stream = io.StringIO()
    lines = Lines(2, Forecast(CELLS, [], width=1), stream)
    lines.started(CELLS[0])
    lines.finished(CELLS[0], record(CELLS[0], 2.0))
    lines.failed(CELLS[1], failure(CELLS[1]))
    assert stream.getvalue().splitlines() == [
        "[1/2, about 2.0 s left] computed utterances/sq-AL in 2.0 s",
        "[2/2] FAILED utterances/de-DE: ValueError: no data (attempt 2)",
    ]


def test_a_terminal_shows_what_is_at_work_how_fast_and_how_long() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with display(0, Forecast([], [], width=1)) as idle:
        assert type(idle) is Lines, "nothing to show where nothing runs"
    from compute.console import columns

    with Progress(*columns(), console=console, auto_refresh=False) as progress:
        live = Live(2, Forecast(CELLS, [], width=1), stream, progress)
        live.started(CELLS[0])
        progress.refresh()
        assert "utterances/sq-AL" in stream.getvalue()
        live.finished(CELLS[0], record(CELLS[0], 65.0))
        live.started(CELLS[1])
        progress.refresh()
    for shown in ("1/2", "cells/s", "about 1 min 05 s left", "utterances/de-DE"):
        assert shown in stream.getvalue()


@pytest.mark.parametrize("variable", ["CI", "TERM"])
def test_no_display_where_nobody_watches(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv(variable, {"CI": "true", "TERM": "dumb"}[variable])
    with display(2, Forecast(CELLS, [], width=1)) as observer:
        assert type(observer) is Lines
