"""Filters with which the kernel refuses a process files and system calls, for good and for its children too.

Landlock (https://docs.kernel.org/userspace-api/landlock.html) is for files, seccomp
(https://docs.kernel.org/userspace-api/seccomp_filter.html) for sockets, other processes and rarer ways out.
"""

# pathlib, like typing, takes longer to import than all that is done here.
# ruff: noqa: PTH112
from __future__ import annotations

import ctypes
import os
import struct

from compute.evaluation.answers.jail import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

# The numbers of the system calls: on x86-64, on ARM64; None for one that does not exist there.
_OUTSIDE: dict[str, tuple[int | None, int]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "io_uring_setup": (425, 425),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
_OTHERS: dict[str, tuple[int | None, int]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "shmget": (29, 194),
    "chmod": (90, 52),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, 55),
    "fchown": (93, 55),
    "lchown": (94, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, 88),
    "utimes": (235, 88),
    "futimesat": (261, 88),
    "utimensat": (280, 88),
}
_CLONE, _CLONE3 = (56, 220), 435
_NEW_NAMESPACE = 0x7E02_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE, _MISSING = 0x7FFF_0000, 0x8000_0000, 0x0005_0000 | 1, 0x0005_0000 | 38


def refuse_calls(*, alone: bool) -> None:
    """Make the kernel refuse sockets, other processes' memory, mounts and namespaces (seccomp).

    A process that is not *alone* among processes of its own may not send signals either, nor change rights and
    times of files, which Landlock leaves to it. OSError where the kernel or the machine's architecture cannot.
    """
    calls = _OUTSIDE if alone else {**_OUTSIDE, **_OTHERS}
    program = _program(os.uname().machine, calls.values())
    steps = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, kernel.address(steps)), 16)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, kernel.address(head))


def _program(machine: str, calls: Iterable[tuple[int | None, int]]) -> bytes:
    """Write the filter as the kernel's steps of 8 bytes: code, jump if true, jump if false, value."""
    if machine not in ARCHITECTURES:
        raise OSError(f"no filter for the architecture {machine}")
    column = list(ARCHITECTURES).index(machine)
    refused = sorted({row[column] for row in calls} - {None}, key=lambda number: number or 0)
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    steps += [(_AT_LEAST, 0, 1, 0x4000_0000), (_RETURN, 0, 0, _KILL)]
    for number in refused:
        steps += [(_EQUAL, 0, 1, number or 0), (_RETURN, 0, 0, _REFUSE)]
    # What clone3 is asked for lies in memory that a filter cannot read: without it, C libraries fall back to clone.
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _MISSING)]
    steps += [(_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _NEW_NAMESPACE)]
    steps += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


_CREATE, _ADD, _RESTRICT = 444, 445, 446
_RUN, _WRITE, _READ, _LIST, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_ALL = (1 << 15) - 1
_OF_A_FILE = _RUN | _WRITE | _READ | _TRUNCATE
FIRST_VERSION = 3
"""Landlock's version since which it also guards against cutting files short (Linux 6.2)."""


def keep_to(folder: str, readable: Sequence[str]) -> None:
    """Make the kernel refuse all files but those in *folder*, and *readable* for reading (Landlock).

    What exists where, and how large it is, can still be asked. OSError where the kernel has no such Landlock.
    """
    if kernel.syscall(_CREATE, None, 0, 1) < FIRST_VERSION:
        raise OSError(f"Landlock is older than version {FIRST_VERSION}")
    handled = ctypes.create_string_buffer(struct.pack("=Q", _ALL), 8)
    rules = kernel.syscall(_CREATE, kernel.address(handled), 8, 0)
    for path in readable:
        _allow(rules, path, _RUN | _READ | _LIST)
    _allow(rules, folder, _ALL)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.syscall(_RESTRICT, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    wanted = rights if os.path.isdir(path) else rights & _OF_A_FILE
    rule = ctypes.create_string_buffer(struct.pack("=Qi", wanted, place), 12)
    kernel.syscall(_ADD, rules, 1, kernel.address(rule), 0)
    os.close(place)
