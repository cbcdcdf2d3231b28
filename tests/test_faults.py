"""A build that is interrupted, killed or finds damage loses nothing that was finished, and serves nothing broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from project import CHANGES, REPOSITORY, Project, hear_interrupts

BUILD = ["build", "dare-source-selection", "--jobs", "2"]


def records(project: Project) -> dict[str, tuple[int, bytes]]:
    """Return the records in the store, by path."""
    found = project.root.glob("cache/results/*/*/*/record.json")
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def started(project: Project, *, until: int) -> subprocess.Popen[str]:
    """Start a build and wait until *until* cells are finished."""
    process = subprocess.Popen(
        [sys.executable, "-m", "compute", *BUILD, *CHANGES],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 120
    while len(records(project)) < until:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def gone(children: list[psutil.Process]) -> bool:
    """Wait for processes to end."""
    return not psutil.wait_procs(children, timeout=20)[1]


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_ends_the_workers_and_exits_130(project: Project) -> None:
    process = started(project, until=12)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert gone(children)
    kept = records(project)
    done = project.run(*BUILD, tiny=True)
    assert done.returncode == 0, done.stderr
    assert {path: records(project)[path] for path in kept} == kept, "no finished cell ran again"


@pytest.mark.slow
@pytest.mark.parametrize("until", [9, 30, 60])
def test_kill_9_loses_no_finished_cell_and_its_leftovers_are_swept(project: Project, until: int) -> None:
    process = started(project, until=until)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert gone(children), "workers do not outlive the build"
    process.communicate(timeout=60)
    kept = records(project)
    left = project.root / "cache/tmp/1-0123456789ab"  # as of a process that is gone
    left.mkdir(parents=True, exist_ok=True)
    done = project.run(*BUILD, tiny=True)
    assert done.returncode == 0, done.stderr
    after = records(project)
    assert {path: after[path] for path in kept} == kept
    again = project.run(*BUILD, tiny=True)
    assert " 0 computed" in again.stdout


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_bit_flip_is_named_set_aside_and_computed_again(copied: Callable[[], Project]) -> None:
    project = copied()
    names = [path for path in records(project) if '"name": "evaluation/de-DE/on/sq-AL/test"' in Path(path).read_text()]
    assert len(names) == 1
    folder = Path(names[0]).parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder / "arrays.safetensors")
    shown = project.run("show", "evaluation/de-DE/on/sq-AL/test", tiny=True)
    assert shown.returncode == 1
    assert "evaluation/de-DE/on/sq-AL/test" in shown.stderr
    assert "damaged" in shown.stderr
    assert list((project.root / "cache/quarantine").iterdir())
    done = project.run(*BUILD, tiny=True)
    assert done.returncode == 0, done.stderr
    assert " 1 computed" in done.stdout
    assert (folder / "arrays.safetensors").read_bytes() == before["arrays.safetensors"]


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """Put the project's cache on a disk of its own, with little room."""
    cache = project.root / "cache"
    cache.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(cache)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("only root may mount a disk")
    yield cache
    subprocess.run(["umount", str(cache)], check=True)


@pytest.mark.slow
def test_on_a_full_disk_what_fits_is_kept_and_the_next_build_goes_on(project: Project, small_disk: Path) -> None:
    full = project.run(*BUILD, tiny=True)
    assert full.returncode == 1, full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    kept = records(project)
    assert kept
    assert not [path for path in small_disk.glob("tmp/*") if any(path.rglob("*"))], (
        "nothing is left of what did not fit"
    )
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    done = project.run(*BUILD, tiny=True)
    assert done.returncode == 0, done.stderr
    assert {path: records(project)[path] for path in kept} == kept
