"""Gives a process a file tree, processes and a network of its own: on Linux, as root or where users may do so."""

# pathlib, like typing, takes longer to import than all that is done here.
# ruff: noqa: PTH102, PTH103, PTH112, PTH114, PTH115, PTH119, PTH120, PTH123, PTH211
from __future__ import annotations

import ctypes
import os

from compute.evaluation.answers.jail import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NEW_MOUNTS, NEW_NAMES, NEW_IPC, NEW_USERS = 0x0002_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000
NEW_PROCESSES, NEW_NETWORK = 0x2000_0000, 0x4000_0000
_PRIVATE = NEW_MOUNTS | NEW_NAMES | NEW_IPC | NEW_PROCESSES | NEW_NETWORK
_NO_SETUID_NO_DEVICES = 2 | 4
_BIND_ALL_BELOW = 0x1000 | 0x4000
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_READ_ONLY = 442, -100, 0x8000, 1


def enter() -> None:
    """Leave the network and the mounts of the others behind; the next child is the first of new processes."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        return kernel.unshare(_PRIVATE)
    kernel.unshare(_PRIVATE | NEW_USERS)
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/uid_map", b"%d %d 1" % (user, user))
    return _write("/proc/self/gid_map", b"%d %d 1" % (group, group))


def move(folder: str, readable: Sequence[str], libraries: Sequence[str], program: bytes, room: int) -> None:
    """Make a new, nearly empty file tree the root: nothing of the old one is left but what is named here.

    *readable* keep their paths and become read-only, each of *libraries* appears in /libraries, and *program* is
    /work/program.py, in a folder that lives in memory and takes *room* bytes more. *folder* is only a place to mount.
    """
    os.umask(0o022)
    kernel.mount("none", "/", flags=0x4000 | 0x4_0000)
    kernel.mount("tmpfs", folder, "tmpfs", _NO_SETUID_NO_DEVICES, "size=1m,mode=755")
    for path in readable:
        _show(path, folder + path)
    for path in libraries:
        _show(path, f"{folder}/libraries/{os.path.basename(path)}")
    work = f"{folder}/work"
    os.mkdir(work)
    kernel.mount("tmpfs", work, "tmpfs", _NO_SETUID_NO_DEVICES, f"size={room + len(program)},nr_inodes=1024,mode=1777")
    _write(f"{work}/program.py", program)
    kernel.swap_root(folder)


def _show(path: str, target: str) -> None:
    """Make what is at *path* appear at *target*, read-only; a link stays a link."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        return os.symlink(os.readlink(path), target)
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        _write(target, b"")
    kernel.mount(path, target, flags=_BIND_ALL_BELOW)
    attributes = ctypes.create_string_buffer(_ATTR_READ_ONLY.to_bytes(8, "little") + bytes(24), 32)
    where = ctypes.create_string_buffer(target.encode())
    address = kernel.address
    kernel.syscall(_MOUNT_SETATTR, _AT_FDCWD, address(where), _AT_RECURSIVE, address(attributes), 32)
    return None


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
