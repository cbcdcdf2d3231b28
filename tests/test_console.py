"""What a build shows while it runs."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from project import REPOSITORY, hear_interrupts
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


def unseen(cell: Cell) -> float | None:
    return None


def record(cell: Cell, seconds: float, when: str = "") -> Record:
    cost = Cost(seconds, seconds, 0)
    return Record(cell.key, cell.name, "utterances", {}, Trace({}, {}, "t"), "", 0, {}, cost, None, when, {})


def failure(cell: Cell) -> Failure:
    return Failure(cell.key, cell.name, "t", "ValueError: no data", "", 2, "")


def test_plain_output_is_one_line_an_event() -> None:
    stream = io.StringIO()
    lines = Lines(2, Forecast(CELLS, unseen, width=1), stream)
    lines.started(CELLS[0])
    lines.finished(CELLS[0], record(CELLS[0], 2.0))
    lines.failed(CELLS[1], failure(CELLS[1]))
    assert stream.getvalue().splitlines() == [
        "[1/2, about 2.0 s left] computed utterances/sq-AL in 2.0 s",
        "[2/2] FAILED utterances/de-DE: ValueError: no data (attempt 2)",
    ]


def test_what_another_build_computed_is_told_from_what_need_not_run() -> None:
    stream = io.StringIO()
    lines = Lines(2, Forecast(CELLS, unseen, width=1), stream)
    lines.elsewhere(CELLS[0])
    lines.noticed("no leases here")
    lines.reused(CELLS[0], record(CELLS[0], 2.0, when="9999-01-01T00:00:00+00:00"))
    lines.reused(CELLS[1], record(CELLS[1], 2.0, when="2000-01-01T00:00:00+00:00"))
    assert stream.getvalue().splitlines() == [
        "note: no leases here",
        "[1/2, more than 0.0 s left] unchanged utterances/sq-AL: another build computed it",
        "[2/2] unchanged utterances/de-DE: its inputs came out as before",
    ]


def test_a_terminal_shows_what_is_at_work_how_fast_and_how_long() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with display(0, Forecast([], unseen, width=1)) as idle:
        assert type(idle) is Lines, "nothing to show where nothing runs"
    from compute.console import columns

    with Progress(*columns(), console=console, auto_refresh=False) as progress:
        live = Live(2, Forecast(CELLS, unseen, width=1), stream, progress)
        live.started(CELLS[0])
        progress.refresh()
        assert "utterances/sq-AL" in stream.getvalue()
        live.finished(CELLS[0], record(CELLS[0], 65.0))
        live.elsewhere(CELLS[1])
        live.noticed("all is [red]")
        progress.refresh()
        assert "(another build)" in stream.getvalue()
        live.started(CELLS[1])
        progress.refresh()
    for shown in ("1/2", "cells/s", "about 1 min 05 s left", "utterances/de-DE", "note: all is", "[red]"):
        assert shown in stream.getvalue()


@pytest.mark.parametrize("variable", ["CI", "TERM"])
def test_no_display_where_nobody_watches(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv(variable, {"CI": "true", "TERM": "dumb"}[variable])
    with display(2, Forecast(CELLS, unseen, width=1)) as observer:
        assert type(observer) is Lines


# -- interrupts ----------------------------------------------------------------------------------------------

BUILD = """
    import sys
    from pathlib import Path
    from cells_that_share import ordinary, with_children
    from click.exceptions import Exit
    from compute.commands import running
    from compute.session import Session, Settings
    session = Session(Path(sys.argv[1]))
    planner = session.planner()
    jobs = int(sys.argv[3])
    cells = [ordinary(1), *(with_children(x, sys.argv[2]) for x in range(jobs))]
    try:
        running.compute(session, planner, planner.plan(cells), Settings(jobs=jobs))
    except Exit as end:
        sys.exit(end.exit_code)
"""


@contextmanager
def on_a_terminal(root: Path, log: Path, jobs: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a build in a terminal of its own; give the process, and the terminal's other end."""
    ours, theirs = pty.openpty()

    def take_the_terminal() -> None:
        hear_interrupts()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    folders = os.pathsep.join(map(str, (REPOSITORY / "tests/engine", REPOSITORY / "tests", REPOSITORY)))
    environment = {**os.environ, "PYTHONPATH": folders, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("CI", None)
    with subprocess.Popen(
        [sys.executable, "-c", dedent(BUILD), str(root), str(log), str(jobs)],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_the_terminal,
    ) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def watch(terminal: int, shown: list[bytes]) -> None:
    """Read what a terminal shows until the last process has closed it; unread, it would fill up and stop them."""
    with suppress(OSError):
        while part := os.read(terminal, 65536):
            shown.append(part)


@pytest.mark.parametrize(
    ("jobs", "by"),
    [
        (1, "one ctrl-c"),
        (1, "terminate"),
        (2, "two ctrl-c"),
        pytest.param(1, "two ctrl-c", marks=pytest.mark.slow),
        pytest.param(2, "one ctrl-c", marks=pytest.mark.slow),
        pytest.param(2, "terminate", marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, jobs: int, by: str) -> None:
    log, parts = tmp_path / "log", list[bytes]()
    with on_a_terminal(tmp_path, log, jobs) as (process, terminal):
        watcher = threading.Thread(target=watch, args=(terminal, parts))
        watcher.start()
        until = time.monotonic() + 60
        while len(lines := log.read_text().splitlines() if log.exists() else []) < jobs and time.monotonic() < until:
            time.sleep(0.05)
        began = [psutil.Process(int(number)) for line in lines for number in line.split() if int(number) != process.pid]
        assert len(began) == (1 if jobs == 1 else 2 * jobs)
        if by == "terminate":
            process.terminate()
        else:
            os.write(terminal, b"\x03")
            time.sleep(0.02)
            os.write(terminal, b"\x03" if by == "two ctrl-c" else b"")
        code = process.wait(timeout=30)
        watcher.join(timeout=30)
        shown = b"".join(parts).decode()
        assert code == (143 if by == "terminate" else 130), shown
    assert shown.count("interrupted: what was finished is kept") == 1
    assert "Traceback" not in shown
    assert "Warning" not in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"
    assert not psutil.wait_procs(began, timeout=30)[1]
    assert not [path for path in (tmp_path / "cache/leases").rglob("*") if path.is_file()]
    assert len(list(tmp_path.glob("cache/results/*/*/*/record.json"))) == 1, "what was finished is kept"
