"""Runs a program that nobody has read, and says whether it came to its end. Knows nothing of models and answers.

What keeps the program in, and what does not, from the best protection to the least (`protection` finds the best):

namespaces
    Linux, as root or where users may make namespaces. The program sees a file tree of its own, in which there is
    nothing but Python's library and the C libraries (read-only) and an empty folder in memory; it sees no network
    interface and no process of others, and when its first process ends the kernel ends all of them. What is left
    to attack is the kernel itself.
filters
    Linux from 6.2 on, without namespaces (common inside containers). Landlock refuses all files but the library and
    a temporary folder, seccomp refuses sockets, signals and other ways out, for good and for children too. The names
    and sizes of files outside can still be asked for, the disk can be filled by many small files until the time is
    up, and a process that leaves its group is hunted down afterwards instead of being ended by the kernel.
hooks
    Elsewhere. Python itself is asked to refuse files, sockets and processes (an audit hook). This stops thoughtless
    programs, not one that brings its own machine code. `Outcome.isolated` is then False. As that may not be enough,
    it is taken for the best only where the variable RECOUNT_SANDBOX is set to "hooks".

In all of them the limits are the kernel's (`Limits`), the environment is empty, standard input is empty, root becomes
nobody, and output beyond the limit ends the program. Memory is limited for each process: a program may take as many
times as much as it may have processes. That a program passes cannot be forged by ending early (`sys.exit`, `os._exit`)
or by printing: after its last line a secret is moved from one open file to another. A program written against this
very module could find both in its own process; nothing within one interpreter can prevent that, nor an answer that
compares equal to everything.
"""

from __future__ import annotations

import marshal
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from compute.errors import RecountError, UsageError
from compute.evaluation.answers._request import environment, fill, folder_for, package, request
from compute.evaluation.answers.limits import DEFAULT, Limits, Protection

Reason = Literal["passed", "failed", "unfinished", "timeout", "memory", "output", "killed"]
"""Why a program ended: with its last line; with an error; without an error before its last line (`sys.exit(0)`); out
of time, memory or room for output; by a signal."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    reason: Reason
    seconds: float
    output: str
    """The last 2,000 characters of what it wrote."""
    protection: Protection

    @property
    def ok(self) -> bool:
        """Whether it came to its end."""
        return self.reason == "passed"

    @property
    def isolated(self) -> bool:
        """Whether the kernel kept it from files, sockets and processes outside."""
        return self.protection != "hooks"


ASKED = "RECOUNT_SANDBOX"
"""The variable by which a protection is accepted that the kernel has no part in."""

TAIL = 2000
_START_WITHIN, _GRACE = 60.0, 5.0
"""Seconds: for the launcher to start the program, whose own time begins then, and for it to end when asked to."""
_OUT_OF_TIME = 24
"""SIGXCPU: by its number, as Windows has none."""


def run(
    program: str, limits: Limits = DEFAULT, *, libraries: Sequence[str] = (), protection: Protection | None = None
) -> Outcome:
    """Run *program* (Python's source text) on its own; it passes if it comes to its last line.

    It finds the standard library and, of other packages, *libraries* ("numpy"). The hash seed is fixed, so that the
    order of a set is the same each time. The best *protection* there is is used if none is named. UsageError where
    there is none at all; RecountError if the sandbox itself fails, which says nothing about the program.
    """
    chosen = protection or best_protection()
    started = time.monotonic()
    text, packages = program.encode("utf-8", "replace"), [place for name in libraries for place in package(name)]
    with folder_for() as folder:
        if chosen != "namespaces":
            fill(folder, text, packages)
        end = _Run(request(text, limits, packages, chosen, folder), limits).result()
    return Outcome(_reason(end, limits.cpu), time.monotonic() - started, end.output[-TAIL:], chosen)


@cache
def best_protection() -> Protection:
    """Find the best protection that works here by trying them, once per process; UsageError if none does.

    Hooks alone count only where somebody said so, see above.
    """
    problems = []
    if os.name != "posix":
        raise UsageError("programs can be judged on Linux and macOS only: elsewhere nothing would keep them in")
    for each in get_args(Protection):
        try:
            outcome = run("pass", protection=each)
        except (RecountError, OSError) as error:
            problems.append(f"{each}: {str(error).splitlines()[-1]}")
            continue
        if outcome.ok and (outcome.isolated or os.environ.get(ASKED) == each):
            return each  # type: ignore[no-any-return]
        if outcome.ok:
            problems.append(f"{each}: set {ASKED}={each} if what a model wrote may run with no more than that")
            continue
        problems.append(f"{each}: an empty program ended with {outcome.reason}")
    raise UsageError(f"programs cannot be judged here, because nothing would keep them in ({'; '.join(problems)})")


@dataclass(frozen=True)
class _End:
    """What is known of a run: why it was ended if it was, what the launcher reported, and the output."""

    stopped: Reason | None
    report: bytes
    output: str


def _reason(end: _End, cpu: int) -> Reason:
    """Say why the program ended; RecountError if it never began."""
    began, rest = end.report[:1] == b"S", end.report.removeprefix(b"S")
    if not began or rest[:1] == b"E":
        error = rest[1:].split(b"\0")[0].decode("utf-8", "replace")
        raise RecountError(f"the sandbox failed: {(error or end.output or 'it said nothing').strip()}")
    if end.stopped:
        return end.stopped
    code, at_end, used = marshal.loads(rest[1:]) if rest else (-9, False, 0.0)
    if code == 0:
        return "passed" if at_end else "unfinished"
    if code < 0:
        return "timeout" if used >= cpu or code == -_OUT_OF_TIME else "killed"
    return "memory" if end.output.rstrip().rpartition("\n")[2].startswith("MemoryError") else "failed"


class _Run:
    """One launcher: it is given its request, listened to until it ends or goes too far, and ended."""

    def __init__(self, request: dict[str, Any], limits: Limits) -> None:
        self._limits = limits
        self._deadline = time.monotonic() + _START_WITHIN
        self._report, writing = os.pipe()
        self._process = subprocess.Popen(
            [request["command"][0], "-I", "-S", "-c", _start()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd="/",
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stream = self._process.stdout
        self._sources = {self._report: bytearray(), self._stream.fileno(): bytearray()}
        with suppress(BrokenPipeError), self._process.stdin as stream:
            stream.write(marshal.dumps({**request, "report": writing}))

    def result(self) -> _End:
        """Listen to the end, and leave no process behind."""
        try:
            stopped = self._listen()
        finally:
            self._end()
            os.close(self._report)
            self._stream.close()
        report, output = self._sources.values()
        return _End(stopped, bytes(report), output.decode("utf-8", "replace"))

    def _listen(self) -> Reason | None:
        """Read what comes until both sources are closed; stop at the limits of time and output."""
        with selectors.DefaultSelector() as selector:
            for source in self._sources:
                selector.register(source, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, self._deadline - time.monotonic()))
                if time.monotonic() >= self._deadline:
                    return "timeout"
                for key, _ in ready:
                    if not self._take(key.fd):
                        selector.unregister(key.fd)
                    elif len(self._sources[key.fd]) > self._limits.output:
                        return "output"
        return None

    def _take(self, source: int) -> int:
        """Read what *source* has now; 0 bytes mean that it is closed. With the first report the program has begun."""
        data = os.read(source, 1 << 16)
        if source == self._report and data and not self._sources[source]:
            self._deadline = time.monotonic() + self._limits.seconds
        self._sources[source] += data
        return len(data)

    def _end(self) -> None:
        """Ask the launcher to end the program and itself, and insist if it does not."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, 9)
            self._process.wait()


def _start() -> str:
    """Write the program that starts the launcher. Naming its function makes its code a part of every judgement."""
    from compute.evaluation.answers.jail.launcher import main

    place = str(Path(__file__).parents[3])
    return f"import sys; sys.path.insert(0, {place!r}); from {main.__module__} import {main.__name__}; main()"
