"""Builds on clusters, from the command line: silent, whole, and one line when something is missing or dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster import Cluster, until
from project import REPOSITORY, STUDY, Project, hear_interrupts, in_study

pytest.importorskip("distributed")

CELLS = "expert/*"
"""Cells that are computed in any case; the tokenizer, texts and base that they need only once."""
GUIDE = REPOSITORY / "docs" / "guide" / "clusters.md"
SLURM = REPOSITORY / "examples" / "slurm.py"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, [REPOSITORY])
    try:
        yield made
    finally:
        made.close()


def needed(project: Project) -> dict[Path, int]:
    """Return when the results were written that CELLS need."""
    found = (project.root / "cache" / "results").glob("*/*/*/record.json")
    return {
        path: path.stat().st_mtime_ns for path in found if '"name": "expert' not in path.read_text(encoding="utf-8")
    }


def begun(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a command as a shell does, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "compute", *in_study(STUDY, arguments)],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def said(stderr: str) -> list[str]:
    """Return what a command said, but for the cells that it tells of."""
    return [line for line in stderr.splitlines() if not line.startswith("[")]


def test_a_scheduler_is_for_dask_alone(project: Project) -> None:
    done = project.run("run", CELLS, "--scheduler", "tcp://127.0.0.1:1", tiny=True)
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert "--executor dask" in line


def test_an_address_that_is_none_is_told_in_a_line(project: Project) -> None:
    done = project.run("run", CELLS, "--executor", "dask", "--scheduler", "nowhere", tiny=True)
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert "tcp://host:8786" in line


@pytest.mark.slow
def test_a_local_cluster_builds_in_silence_and_leaves_no_process(project: Project) -> None:
    started = begun(project, "run", CELLS, "--executor", "dask", "--jobs", "2")
    workers = until(lambda: needed(project) and psutil.Process(started.pid).children(recursive=True), "workers")
    stdout, stderr = started.communicate()
    assert started.returncode == 0, stderr
    assert " 0 failed, 0 blocked" in stdout
    assert said(stderr) == []
    until(lambda: not any(worker.is_running() for worker in workers), "the workers' end")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_a_build_that_was_ended(project: Project, number: signal.Signals) -> None:
    started = begun(project, "run", CELLS, "--executor", "dask", "--jobs", "2")
    workers = until(lambda: needed(project) and psutil.Process(started.pid).children(recursive=True), "workers")
    if number == signal.SIGINT:
        os.killpg(started.pid, number)  # as a terminal does
    else:
        started.kill()
    stderr = started.communicate()[1]
    until(lambda: not any(worker.is_running() for worker in workers), "the workers' end")
    if number == signal.SIGINT:
        assert started.returncode == 130
        assert said(stderr) == ["interrupted: what was finished is kept; the same command goes on from there"]


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_build_with_a_line_and_the_next_goes_on(
    project: Project, cluster: Cluster
) -> None:
    cluster.scheduler()
    cluster.worker()
    command = ("run", CELLS, "--executor", "dask", "--scheduler", str(cluster.file))
    started = begun(project, *command)
    until(lambda: len(needed(project)) >= 2, "results")
    cluster.processes[0].kill()
    stderr = started.communicate(timeout=120)[1]
    assert started.returncode == 1
    (line,) = said(stderr)
    assert re.fullmatch(r"error: the scheduler at .* is gone; what was finished is kept: run the same .*", line)
    kept = needed(project)
    cluster.scheduler()
    cluster.worker()
    done = project.run(*command, tiny=True)
    assert done.returncode == 0, done.stderr
    assert kept.items() <= needed(project).items()


def test_the_guide_shows_the_example_for_slurm() -> None:
    assert f"```python\n{SLURM.read_text(encoding='utf-8')}```" in GUIDE.read_text(encoding="utf-8")


SBATCH = """#!/bin/sh
copy=$(mktemp -p "$JOBS")
cat "$1" > "$copy"
setsid sh "$copy" > "$copy.log" 2>&1 &
echo "Submitted batch job $!"
"""

SCANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""


@pytest.mark.slow
def test_the_example_for_slurm_computes_in_jobs(project: Project, tmp_path: Path) -> None:
    """The jobs are submitted to a program of SLURM's name that runs them here, at once."""
    pytest.importorskip("dask_jobqueue")
    jobs, programs = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    programs.mkdir()
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(script, encoding="utf-8")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(SLURM), *in_study(STUDY, ("run", "utterances/*"))],
        cwd=project.root,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "JOBS": str(jobs),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " 0 failed, 0 blocked" in done.stdout
    scripts = [path.read_text(encoding="utf-8") for path in jobs.iterdir() if path.suffix != ".log"]
    assert scripts
    for script in scripts:
        assert "#SBATCH --cpus-per-task=1" in script
        assert "#SBATCH -t 04:00:00" in script
        assert "--nthreads 1 " in script
        assert "--nanny" in script
        assert "--lifetime 230m" in script
