"""Starts one program with the rights that are left to it, waits for it, and ends whatever it left running.

Runs as a process of its own (`python -I -S`), so that nothing of the asking process is in its memory. It reads a
request from standard input and writes how the program ended to the descriptor that the request names.
"""

# pathlib, like typing, takes longer to import than all that is done here.
# ruff: noqa: PTH106, PTH123
from __future__ import annotations

import contextlib
import marshal
import os
import resource
import signal
import sys

from compute.evaluation.answers.jail import filters, kernel, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

NOBODY = 65534
"""The user that root becomes: the kernel's own number for users without a name."""

LINUX = sys.platform == "linux"


def main() -> None:
    """Serve the one request on standard input; what goes wrong here ends up as a traceback on standard output."""
    request = {**marshal.loads(sys.stdin.buffer.read()), "nothing": os.open(os.devnull, os.O_RDONLY)}
    passed, request["report"] = request["report"], os.dup(request["report"])  # not inherited, and far below 16, where
    os.close(passed)  # `_hidden` puts what the program inherits: a busy process passes any number
    signal.signal(signal.SIGTERM, _ended)
    if LINUX:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if request["protection"] == "namespaces":
        _in_namespaces(request)
    else:
        _supervise(request)


def _ended(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(1)


def _in_namespaces(request: dict[str, Any]) -> None:
    """Let the first process of new namespaces watch over the program: when it ends, the kernel ends all others."""
    namespaces.enter()
    first = os.fork()
    if first == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        namespaces.move(*(request[part] for part in ("folder", "readable", "libraries", "program", "room")))
        _supervise({**request, "folder": "/work", "libraries": "/libraries"})
        os._exit(0)
    os.close(request["report"])
    try:
        os.waitpid(first, 0)
    except SystemExit:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    with contextlib.suppress(OSError):
        os.rmdir(request["folder"])


def _supervise(request: dict[str, Any]) -> None:
    """Run the program and report; what it leaves running is ended, whatever happens here."""
    if LINUX and os.getpid() != 1:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    token, (secret, given), (marks, mark) = os.urandom(16), os.pipe(), os.pipe()
    os.write(given, token)
    os.close(given)
    os.set_blocking(marks, False)
    child = os.fork()
    if child == 0:
        _become(request, secret, mark)
    os.close(secret)
    try:
        code, used = _wait(child)
        at_end = code == 0 and _read(marks) == token
        os.write(request["report"], b"R" + marshal.dumps((code, at_end, used)))
    finally:
        if os.getpid() != 1:
            _sweep(child)


def _wait(child: int) -> tuple[int, float]:
    """Wait until *child* has ended, and bury the orphans that come in meanwhile: exit code and processor seconds."""
    while True:
        pid, status, used = os.wait3(0)
        if pid == child:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _read(source: int) -> bytes:
    try:
        return os.read(source, 64)
    except BlockingIOError:
        return b""


def _sweep(group: int) -> None:
    """End the processes of *group*, and those that left it: their parents gone, they have become our children."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:
        return []


def _become(request: dict[str, Any], secret: int, mark: int) -> NoReturn:
    """Give up what is not the program's to have, limits before rights, and become its interpreter."""
    try:
        os.setsid()
        os.chdir(request["folder"])
        os.dup2(request["nothing"], 0)
        os.dup2(1, 2)
        command = [*request["command"], _text(request, *_hidden(secret, mark, request["limits"]["NOFILE"]))]
        _drop_user(request["protection"] == "namespaces")
        for name, limit in request["limits"].items():
            _limit(name, limit)
        _filter(request)
        os.write(request["report"], b"S")
        os.execve(command[0], command, request["environment"])
    except BaseException as error:  # noqa: BLE001 (the asking process has to learn of it, whatever it is)
        os.write(request["report"], b"E" + repr(error).encode() + b"\0")
    os._exit(1)


def _text(request: dict[str, Any], secret: int, mark: int) -> str:
    """Write what the interpreter is to run: the boot text, which runs program.py, after the guard if there is one."""
    guard = f"guard({request['folder']!r}, {tuple(request['readable'])!r})\n" if request["hooks"] else ""
    return f"{request['hooks']}\n{guard}{request['boot']}\nrun({secret}, {mark}, {request['libraries']!r})\n"


def _hidden(secret: int, mark: int, files: int) -> tuple[int, int]:
    """Move the two descriptors to places that differ each time, where the program inherits them."""
    first = 16 + os.urandom(1)[0] % (files - 16)
    second = 16 + (first - 16 + 1 + os.urandom(1)[0] % (files - 17)) % (files - 16)
    return os.dup2(secret, first), os.dup2(mark, second)


def _drop_user(own_count: bool) -> None:
    """Stop being root, whom limits on processes do not bind; count the user's processes apart from all others."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        if own_count:
            with contextlib.suppress(OSError):
                kernel.unshare(namespaces.NEW_USERS)
    if LINUX:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(name: str, limit: int) -> None:
    """Lower a limit; processor time ends with a signal that says so, and a second later without one."""
    kind = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(kind)[1]
    most = limit + 1 if name == "CPU" else limit
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (min(limit, most), most))


def _filter(request: dict[str, Any]) -> None:
    """Have the kernel refuse more where it can; without namespaces it has to."""
    if not LINUX or request["protection"] == "hooks":
        return
    if request["protection"] == "namespaces":
        with contextlib.suppress(OSError):
            filters.refuse_calls(alone=True)
    else:
        filters.keep_to(request["folder"], request["readable"])
        filters.refuse_calls(alone=False)
