"""Two hundred builds are killed at random moments, scheduler or worker; the next build finds all that was finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
TRUTH = str(sum(x * x for x in range(50)))


def started(folder: Path, number: int, jobs: int) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    return subprocess.Popen(
        [
            sys.executable,
            str(HERE / "program_to_kill.py"),
            str(folder / "cache"),
            str(folder / "log"),
            f"{number}",
            f"{jobs}",
        ],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path) -> dict[Path, bytes]:
    """Return the committed records, by path."""
    return {path: path.read_bytes() for path in (folder / "cache").glob("results/*/*/*/record.json")}


def killed(process: subprocess.Popen[str], chance: random.Random, longest: float) -> bool:
    """Kill the program or one of its workers within *longest* seconds; return whether it was the program."""
    time.sleep(chance.uniform(0, longest))
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        victim = chance.choice([process.pid, *(child.pid for child in children if "loky" in " ".join(child.cmdline()))])
    except psutil.NoSuchProcess:
        return False
    if victim == process.pid:
        process.send_signal(signal.SIGKILL)
        assert not psutil.wait_procs(children, timeout=20)[1], "workers outlive the build"
        return True
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(8))
def test_a_build_after_kill_9_computes_only_what_was_not_finished(tmp_path: Path, batch: int) -> None:
    chance, folder = random.Random(batch), tmp_path
    begun = time.monotonic()
    assert started(folder, -1, jobs=2).communicate(timeout=120)[0] == TRUTH
    longest = time.monotonic() - begun
    for number in range(batch * 25, batch * 25 + 25):
        process = started(folder, number, jobs=2)
        was_program = killed(process, chance, longest)
        output, errors = process.communicate(timeout=120)
        if not was_program:
            assert (process.returncode, output.strip()) == (0, TRUTH), errors
        kept = finished(folder)
        ran = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
        output, errors = started(folder, number, jobs=1).communicate(timeout=120)
        assert output.strip() == TRUTH, errors
        after = finished(folder)
        assert {path: after.get(path) for path in kept} == kept, "a finished result was replaced or lost"
        again = (folder / "log").read_text().splitlines()[len(ran) :]
        assert len(again) == len(after) - len(kept), "the second build ran more, or less, than what was lacking"
        left = [path for place in ("tmp", "leases") for path in (folder / "cache" / place).rglob("*") if path.is_file()]
        assert left == []
