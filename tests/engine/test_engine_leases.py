"""One holder a key: living ones keep it, dead ones lose it, and what cannot be kept stops nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.engine import leases as module
from compute.engine.leases import Leases
from compute.engine.process import this_process

KEY = "ab" + 62 * "0"
REPOSITORY = str(Path(__file__).parents[2])


class Watch:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def left(root: Path, key: str = KEY, *, holder: bool = True, **facts: Any) -> Path:
    """Write what a holder on another machine, or another process, has left; return the holder's file."""
    known = {"id": "f00d", "machine": "another", "boot": "b", "pid": 1, "began": "1", **facts}
    lease, alive = root / "leases" / key[:2] / key, root / "leases/holders" / known["id"]
    for path in (lease, alive) if holder else (lease,):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
    return alive


def files(root: Path) -> list[Path]:
    return [path for path in (root / "leases").rglob("*") if path.is_file()]


def ours() -> dict[str, Any]:
    return this_process()


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test also where the file system has no hard links."""
    if request.param == "no links":

        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    return str(request.param)


# -- the living ----------------------------------------------------------------------------------------------


def test_one_holds_a_key_until_it_gives_it_back(tmp_path: Path, links: str) -> None:
    one, other = Leases(tmp_path), Leases(tmp_path)
    assert one.acquire(KEY)
    assert not other.acquire(KEY)
    assert not other.free(KEY)
    assert other.acquire("cd" + KEY), "another key is another lease"
    other.release(KEY)
    assert not other.acquire(KEY), "nobody gives back what is not theirs"
    one.release(KEY)
    assert other.free(KEY)
    assert other.acquire(KEY)
    one.release(KEY)
    assert not one.acquire(KEY)
    one.close()
    other.close()
    assert files(tmp_path) == []


@given(st.lists(st.tuples(st.sampled_from(["acquire", "release", "close"]), st.integers(0, 2), st.sampled_from("xyz"))))
def test_whatever_happens_no_two_hold_the_same_key(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    root = tmp_path_factory.mktemp("store")
    builds = [Leases(root) for _ in range(3)]
    held: dict[str, int] = {}
    for step, number, key in steps:
        if step == "acquire":
            assert builds[number].acquire(key) == (held.setdefault(key, number) == number)
        elif step == "release" or not held:
            builds[number].release(key)
            held = {name: holder for name, holder in held.items() if (name, holder) != (key, number)}
        else:
            builds[number].close()
            held = {name: holder for name, holder in held.items() if holder != number}
    for build in builds:
        build.close()
    assert files(root) == []


def test_processes_that_ask_for_the_same_keys_share_them(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from compute.engine.leases import Leases\n"
        "leases = Leases(Path(sys.argv[1]))\n"
        "print(*[x for x in range(200) if leases.acquire(f'{x % 7:02}-{x}')], flush=True)\n"
        "input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running: list[Any] = [
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": REPOSITORY}, **pipes) for _ in range(4)
    ]
    shares = [process.stdout.readline().split() for process in running]
    for process in running:
        process.communicate("\n", timeout=60)
    assert sorted(int(x) for share in shares for x in share) == list(range(200))


def test_a_heart_beats_and_begins_anew_where_the_folder_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.01)
    held = Leases(tmp_path)
    held.acquire(KEY)
    (holder,) = (tmp_path / "leases/holders").iterdir()
    os.utime(holder, (0, 0))
    until = time.monotonic() + 50
    while not holder.stat().st_mtime and time.monotonic() < until:
        time.sleep(0.01)
    assert holder.stat().st_mtime
    holder.unlink()
    while not holder.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert holder.exists()
    held.close()
    assert files(tmp_path) == []


# -- the dead ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collected", [True, False])
def test_a_killed_holder_on_this_machine_loses_its_lease_at_once(tmp_path: Path, collected: bool) -> None:
    script = (
        "import sys; from pathlib import Path; from compute.engine.leases import Leases\n"
        f"print(Leases(Path(sys.argv[1])).acquire({KEY!r}), flush=True); input()"
    )
    watch, environment = Watch(), {**os.environ, "PYTHONPATH": REPOSITORY}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        here = Leases(tmp_path, clock=watch)
        assert not here.acquire(KEY)
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if collected:
            process.wait()
        assert here.free(KEY)
        assert here.acquire(KEY)
    assert Leases(tmp_path).sweep() == 1, "the dead holder's own file"
    here.close()
    assert files(tmp_path) == []


@pytest.mark.parametrize("changed", [{"boot": "an earlier one"}, {"began": "1"}, {"pid": 2**22 + 1}])
def test_a_process_of_this_machine_is_told_from_an_earlier_one(tmp_path: Path, changed: dict[str, Any]) -> None:
    left(tmp_path, **ours())
    here = Leases(tmp_path)
    assert not here.acquire(KEY)
    left(tmp_path, **ours() | changed)
    assert here.acquire(KEY)
    here.close()


def test_a_lease_whose_holder_has_left_is_free(tmp_path: Path) -> None:
    left(tmp_path, holder=False, **ours())
    here = Leases(tmp_path)
    assert here.acquire(KEY)
    here.close()


def test_a_holder_on_another_machine_is_dead_after_a_long_silence(tmp_path: Path) -> None:
    watch = Watch()
    left(tmp_path)
    here = Leases(tmp_path, clock=watch, ttl=60)
    assert not here.acquire(KEY), "however old the file is: its clock is not ours"
    watch.now += 60
    assert not here.acquire(KEY)
    watch.now += 1
    assert here.free(KEY)
    assert here.acquire(KEY)
    here.close()


def test_a_beating_heart_is_heard_whatever_its_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, holder = Watch(), left(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    here = Leases(tmp_path, clock=watch, ttl=60)
    for beat in (5_000_000_000, 4_000_000_000, 4_000_000_060, 0, 1):  # set back, and back again
        os.utime(holder, (beat, beat))
        assert not here.acquire(KEY)
        watch.now += 50
    watch.now += 20
    assert here.acquire(KEY)
    here.close()


def test_a_lease_that_was_never_written_to_its_end_is_judged_by_its_age(tmp_path: Path) -> None:
    watch, path = Watch(), tmp_path / "leases" / KEY[:2] / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"id": "f0')
    here = Leases(tmp_path, clock=watch)
    assert not here.acquire(KEY)
    watch.now += 61
    assert here.acquire(KEY)
    here.close()


def test_who_was_slow_to_judge_does_not_break_the_lease_of_who_took_over(
    tmp_path: Path, links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tmp_path, holder=False)
    slow, quick = Leases(tmp_path), Leases(tmp_path)
    judge: Callable[..., bool] = slow._dead

    def slowly(seen: bytes, path: Path) -> bool:
        dead = judge(seen, path)
        quick.acquire(KEY)
        return dead

    monkeypatch.setattr(slow, "_dead", slowly)
    taken = slow.acquire(KEY)
    if links == "links":
        assert not taken
        assert not Leases(tmp_path).acquire(KEY), "the lease of the quick one was put back"
    slow.close()
    quick.close()
    assert not any(path.name.startswith("aside") for path in files(tmp_path))


# -- what is left, and where leases cannot be kept -----------------------------------------------------------


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    alive = Leases(tmp_path)
    alive.acquire("xy-1")
    left(tmp_path, "cd-1", **ours() | {"pid": 2**22 + 1, "id": "dead"})
    left(tmp_path, "ef-1")
    old = left(tmp_path, "gh-1", id="forgotten")
    os.utime(old, (0, 0))
    Leases(tmp_path).sweep()
    kept = {path.name for path in files(tmp_path)}
    assert kept == {"xy-1", "ef-1", "f00d", *(path.name for path in (tmp_path / "leases/holders").iterdir())}
    assert "dead" not in kept
    assert "forgotten" not in kept
    alive.close()


def test_where_leases_cannot_be_kept_everybody_computes_and_it_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "leases").write_text("a file in the way")
    said: list[str] = []
    here = Leases(tmp_path, say=said.append)
    assert [here.acquire(key) for key in ("ab-1", "ab-2")] == [True, True]
    assert len(said) == 1
    assert "leases cannot be kept" in said[0]
    assert here.free("ab-1")
    here.release("ab-1")
    here.sweep()
    here.close()
