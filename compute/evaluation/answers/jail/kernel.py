"""Calls of the Linux kernel that the standard library has no name for. Knows nothing of sandboxes."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> None:
    """Set a property of this process; OSError if the kernel refuses."""
    rest = [ctypes.c_ulong(number) for number in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(_LIBC.prctl(option, *rest), f"prctl {option}")


def syscall(number: int, *arguments: int | None) -> int:
    """Make a system call by its number; addresses are integers, None is the null pointer."""
    values = [ctypes.c_void_p(value) if value is None else ctypes.c_long(value) for value in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *values), f"system call {number}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _checked(_LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount *source* at *target*."""
    texts = [text.encode() for text in (source, target, kind)]
    _checked(_LIBC.mount(*texts, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def swap_root(folder: str) -> None:
    """Make *folder*, a mount point, the root of the file tree, and let go of the old one."""
    os.chdir(folder)
    _checked(_LIBC.pivot_root(b".", b"."), "pivot_root")
    _checked(_LIBC.umount2(b".", 2), "umount2")
    os.chdir("/")


def address(data: ctypes.Array[ctypes.c_char]) -> int:
    """Return where *data* lies in memory."""
    return ctypes.addressof(data)
