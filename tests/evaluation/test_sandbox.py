"""Hostile programs are run only after an innocent one has shown that the limits are in force."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import psutil
import pytest

from compute.errors import RecountError, UsageError
from compute.evaluation.answers import sandbox
from compute.evaluation.answers.limits import Limits, Protection
from compute.evaluation.answers.sandbox import Outcome

PROJECT = Path(__file__).parents[2]
SMALL = Limits(
    cpu=2, seconds=6.0, memory=256 << 20, processes=8, file=1 << 16, folder=1 << 20, files=64, output=1 << 14
)
LIMITS = """
import resource
names = ("CPU", "FSIZE", "NOFILE", "NPROC", "CORE", "AS")
print([resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names])
"""


@cache
def works(protection: Protection) -> str:
    """Say why *protection* cannot be had here; "" if the limits are seen to be in force in it."""
    try:
        found = sandbox.run(LIMITS, SMALL, protection=protection)
    except RecountError as error:
        return str(error)
    cpu, file, files, processes, core, memory = ast.literal_eval(found.output)
    assert (cpu, file, files, core) == (2, 1 << 16, 64, 0)
    assert 8 <= processes < 10_000
    assert memory == 256 << 20 or sys.platform != "linux"
    return ""


@pytest.fixture(params=get_args(Protection))
def protection(request: pytest.FixtureRequest) -> Protection:
    if why := works(request.param):
        pytest.skip(why)
    return request.param


@pytest.fixture
def kernel(protection: Protection) -> Protection:
    """A protection that is the kernel's, under which a program may do as it likes."""
    if protection == "hooks":
        pytest.skip("hooks stop no machine code")
    return protection


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that every user of this machine may read and write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o777)
        (folder / "victim").write_text("a secret")
        (folder / "victim").chmod(0o666)
        yield folder


def tried(program: str, protection: Protection, limits: Limits = SMALL) -> Outcome:
    return sandbox.run(program, limits, protection=protection)


# What passes and what does not


def test_there_is_a_protection_here() -> None:
    assert sandbox.run("assert 1 + 1 == 2").ok
    assert sandbox.best_protection() in get_args(Protection)


def test_hooks_alone_are_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_hooks(program: str, protection: Protection) -> Outcome:
        return Outcome("passed" if protection == "hooks" else "failed", 0.1, "", protection)

    monkeypatch.setattr(sandbox, "run", only_hooks)
    monkeypatch.delenv(sandbox.ASKED, raising=False)
    best = sandbox.best_protection.__wrapped__
    with pytest.raises(UsageError, match=f"{sandbox.ASKED}=hooks"):
        best()
    monkeypatch.setenv(sandbox.ASKED, "hooks")
    assert best() == "hooks"


def test_a_program_that_comes_to_its_end_passes(protection: Protection) -> None:
    found = tried("if __name__ == '__main__':\n    print('done')", protection)
    assert (found.ok, found.reason, found.output) == (True, "passed", "done\n")
    assert found.isolated == (protection != "hooks")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2", "failed"),
        ("def broken(:", "failed"),
        ("raise ValueError", "failed"),
        ("input()", "failed"),
        ("import sys; sys.exit(0)\nassert False", "unfinished"),
        ("raise SystemExit", "unfinished"),
        ("import os; os._exit(0)\nassert False", "unfinished"),
        ("import sys; sys.exit(3)", "failed"),
        ("import atexit, os\natexit.register(os._exit, 0)\nassert False", "unfinished"),
        ("import sys; sys.excepthook = lambda *_: None\nassert False", "failed"),
        ("import builtins; builtins.AssertionError = ValueError = None\nassert False", "failed"),
        ("import os, sys; os.write = os._exit = sys.exit = print\nassert False", "failed"),
        (
            "import os, threading\nthreading.Timer(0.05, os._exit, [0]).start()\nimport time; time.sleep(3)",
            "unfinished",
        ),
    ],
)
def test_what_does_not_come_to_its_end_does_not_pass(program: str, reason: str) -> None:
    assert sandbox.run(program, SMALL).reason == reason


def test_an_answer_may_replace_what_the_end_is_told_with() -> None:
    assert sandbox.run("import os, posix, sys\nos.write = os._exit = posix.write = posix._exit = None").ok
    assert sandbox.run("import sys\nsys.stdout = None").ok


def test_the_end_is_not_forged_by_writing_everywhere(protection: Protection) -> None:
    program = """
import os
for place in range(3, 64):
    try:
        os.write(place, b"passed" * 4)
    except OSError:
        pass
print("passed", flush=True)
os._exit(0)
"""
    assert tried(program, protection).reason == "unfinished"


def test_traces_name_the_line_of_the_program() -> None:
    found = sandbox.run("def wrong():\n    raise KeyError('missing')\nwrong()")
    assert 'File "program.py", line 2, in wrong' in found.output
    assert found.output.endswith("KeyError: 'missing'\n")


def test_texts_that_are_not_unicode_are_only_wrong() -> None:
    assert sandbox.run("print('\ud800')").ok
    assert sandbox.run("\0").reason == "failed"


def test_sets_have_the_same_order_each_time(protection: Protection) -> None:
    program = "print({'one', 'two', 'three', 'four'})"
    assert tried(program, protection).output == tried(program, protection).output


def test_a_long_program_is_taken() -> None:
    assert sandbox.run(f"data = {'0123456789' * 200_000!r}\nassert len(data) == 2_000_000").ok


def test_libraries_are_there_if_asked_for(protection: Protection) -> None:
    program = "import numpy\nassert numpy.linalg.norm([3, 4]) == 5"
    assert sandbox.run(program, protection=protection).reason == "failed"
    assert sandbox.run(program, libraries=["numpy"], protection=protection).output == ""


def test_an_unknown_library_is_named() -> None:
    with pytest.raises(UsageError, match="'no_such_package' cannot be given"):
        sandbox.run("pass", libraries=["no_such_package"])


def test_a_sandbox_that_fails_is_not_the_programs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_start", lambda: "raise OSError('no sandbox today')")
    with pytest.raises(RecountError, match="no sandbox today"):
        sandbox.run("pass", protection="namespaces")


def test_what_else_the_asking_process_has_open_is_no_matter() -> None:
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
    try:
        assert all(sandbox.run("pass").ok for _ in range(25))
    finally:
        for each in others:
            os.close(each)


# Limits


def test_processor_time_is_limited(protection: Protection) -> None:
    assert tried("while True: pass", protection, replace(SMALL, cpu=1)).reason == "timeout"


DEAF = """
import signal, time
for each in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
"""


def test_refusing_to_be_ended_does_not_help(protection: Protection) -> None:
    assert tried(DEAF + "while True: pass", protection, replace(SMALL, cpu=1)).reason == "timeout"
    assert tried(DEAF + "time.sleep(60)", protection, replace(SMALL, seconds=1.0)).reason == "timeout"


def test_memory_is_limited(protection: Protection) -> None:
    if sys.platform != "linux":
        pytest.skip("address space can be limited on Linux only")
    assert tried("bytearray(1 << 30)", protection).reason == "memory"
    assert tried("hoard = []\nwhile True: hoard.append(bytearray(1 << 20))", protection).reason == "memory"


def test_output_is_limited(protection: Protection) -> None:
    found = tried("while True: print('x' * 1000)", protection)
    assert found.reason == "output"
    assert len(found.output) == sandbox.TAIL


def test_files_are_limited(protection: Protection) -> None:
    assert tried("open('large', 'wb').write(bytes(1 << 16))", protection).ok
    assert "File too large" in tried("open('large', 'wb').write(bytes(1 << 20))", protection).output
    assert "Too many open files" in tried("kept = [open('one', 'w') for _ in range(100)]", protection).output


def test_the_folder_is_limited() -> None:
    if works("namespaces"):
        pytest.skip(works("namespaces"))
    found = tried("for each in range(99): open(f'f{each}', 'wb').write(bytes(1 << 16))", "namespaces")
    assert "No space left" in found.output


def test_a_stack_without_end_is_only_wrong() -> None:
    assert sandbox.run("def again(): again()\nagain()", SMALL).reason == "failed"
    deep = "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())"
    assert sandbox.run(deep, SMALL).reason in ("killed", "failed", "memory")


FORKS = """
import os, time
made = 0
for _ in range(300):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except BlockingIOError:
        break
    made += 1
print(made, flush=True)
os._exit(0)
"""


def test_processes_are_limited(kernel: Protection) -> None:
    assert int(tried(FORKS, kernel).output) < 60


def named(text: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["name"]) if each.info["name"] == text]


def gone(text: str) -> bool:
    """Whether no process has the name: the kernel may need a moment to bury the last one."""
    for _ in range(20):
        if not named(text):
            return True
        time.sleep(0.05)
    return False


def naming(text: str) -> str:
    return f"import ctypes\nctypes.CDLL(None).prctl(15, b{text!r}, 0, 0, 0)\n"


@pytest.fixture
def name() -> str:
    return f"p{uuid.uuid4().hex[:12]}"


def test_a_fork_bomb_is_ended(kernel: Protection, name: str) -> None:
    assert int(tried(FORKS, kernel).output) < 60
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    found = tried(naming(name) + bomb, kernel, replace(SMALL, seconds=1.5))
    assert found.reason == "timeout"
    assert gone(name)


def test_a_daemon_does_not_outlive_its_program(kernel: Protection, name: str) -> None:
    program = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        os.closerange(0, 64)
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(0.1)
"""
    assert tried(naming(name) + program, kernel).ok
    assert gone(name)


def test_threads_that_go_on_do_not_hold_up_the_end() -> None:
    assert sandbox.run("import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()").ok


# What is outside

ATTEMPTS = """
import os
path = {path!r}
attempts = [
    lambda: open(path).read(),
    lambda: open(path, "w").write("changed"),
    lambda: open(path, "a").write("changed"),
    lambda: os.truncate(path, 0),
    lambda: os.remove(path),
    lambda: os.rename(path, path + "2"),
    lambda: os.chmod(path, 0),
    lambda: os.listdir(os.path.dirname(path)),
    lambda: os.rmdir(os.path.dirname(path)),
    lambda: open(os.path.dirname(path) + "/new", "w"),
    lambda: os.symlink(path, "link") or open("link").read(),
    lambda: os.link(path, "hard") or open("hard").read(),
]
for attempt in attempts:
    try:
        print(attempt())
    except (OSError, FileNotFoundError):
        continue
    raise SystemExit("that went through")
"""


def test_files_outside_are_neither_read_nor_changed(protection: Protection, outside: Path) -> None:
    victim = outside / "victim"
    found = tried(ATTEMPTS.format(path=str(victim)), protection)
    assert (found.reason, found.output) == ("passed", "")
    assert victim.read_text() == "a secret"
    assert victim.stat().st_mode & 0o777 == 0o666
    assert list(outside.iterdir()) == [victim]


@pytest.mark.parametrize("folder", ["/root", "/home", str(Path.home()), str(PROJECT), "/etc", "/proc", "/tmp"])
def test_folders_of_others_cannot_be_listed(protection: Protection, folder: str) -> None:
    python = {Path(sys.executable).resolve(), Path(os.__file__).resolve()}
    program = f"import os\nprint(sorted(os.listdir({folder!r})))"
    found = tried(program, protection)
    way = {next(iter(place.relative_to(folder).parts)) for place in python if place.is_relative_to(folder)}
    if found.ok:
        assert set(ast.literal_eval(found.output)) <= way | {"ld.so.cache"}
    else:
        assert found.output.splitlines()[-1].startswith(("PermissionError", "FileNotFoundError"))


def test_the_environment_stays_outside(protection: Protection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hidden-treasure")
    program = f"""
import os, sys
print(dict(os.environ), sys.argv, sys.orig_argv, os.path.expanduser("~"))
for each in ("self", "1", str(os.getppid()), "{os.getpid()}"):
    for what in ("environ", "cmdline", "mem", "root/etc/passwd"):
        try:
            print(open(f"/proc/{{each}}/{{what}}", "rb").read(9))
        except OSError:
            pass
"""
    found = tried(program, protection)
    assert found.ok
    assert "hidden-treasure" not in found.output
    assert "HOME" not in found.output
    assert "b'" not in found.output
    assert str(Path.home()) not in found.output or Path.home() == Path("/")


def test_no_socket_reaches_a_server_of_this_machine(protection: Protection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        found = tried(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)", protection)
        assert found.reason == "failed"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_tree_holds_only_what_an_interpreter_needs() -> None:
    if works("namespaces"):
        pytest.skip(works("namespaces"))
    there = set(ast.literal_eval(tried("import os\nprint(os.listdir('/'))", "namespaces").output))
    ways = {place.parts[1] for place in (Path(sys.executable).resolve(), Path(os.__file__).resolve())}
    assert there - ways <= {"work", "lib", "lib64", "usr", "etc", "nix"}
    assert tried("import os\nassert os.listdir() == ['program.py']\nassert os.getcwd() == '/work'", "namespaces").ok


def test_other_processes_cannot_be_ended(protection: Protection) -> None:
    program = f"""
import os
for pid in {{os.getppid(), {os.getpid()}, {os.getppid()}}} - {{1}}:
    try:
        os.kill(pid, 0)
    except OSError:
        continue
    raise SystemExit("reached")
"""
    assert tried(program, protection).ok


def test_rights_cannot_be_won_back(kernel: Protection) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None)
assert os.getuid() != 0
for attempt, *arguments in [(os.setuid, 0), (os.setgroups, [0]), (os.chroot, "."), (os.mknod, "device", 0o60666, 1)]:
    try:
        attempt(*arguments)
    except OSError:
        continue
    raise SystemExit("that went through")
assert libc.unshare(0x10000000) == -1
assert libc.mount(b"none", b"/", b"tmpfs", 0, None) == -1
assert libc.ptrace(16, os.getppid(), 0, 0) == -1
"""
    assert tried(program, kernel).output == ""


def test_nothing_is_left_behind(protection: Protection, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(outside))
    program = """
import os
os.makedirs("a/b/c")
os.symlink("/", "a/b/c/link")
os.umask(0o777)
os.mkdir("a/closed")
os.umask(0o022)
try:
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
except OSError:
    pass
"""
    assert tried(program, protection).reason in ("passed", "failed")
    assert [path.name for path in outside.iterdir()] == ["victim"]


def test_a_program_does_not_outlive_who_asked_for_it(kernel: Protection, name: str, outside: Path) -> None:
    program = naming(name) + "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(60)"
    asking = f"from compute.evaluation.answers import sandbox\nsandbox.run({program!r}, protection={kernel!r})"
    with subprocess.Popen(
        [sys.executable, "-c", asking], cwd=PROJECT, env={**os.environ, "TMPDIR": str(outside)}
    ) as process:
        for _ in range(200):
            if len(named(name)) == 2:
                break
            time.sleep(0.05)
        assert len(named(name)) == 2
        process.kill()
    assert gone(name)
