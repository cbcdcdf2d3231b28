"""Refuses a program files, sockets and processes from within the interpreter, where the kernel offers nothing better.

This text is run by the program's own interpreter (`python -c`); here it is only read. An audit hook cannot be taken
away again (https://peps.python.org/pep-0578/), but it only hears of what Python's own functions do: it stops
thoughtless programs and plain attacks, not one that runs machine code of its own.
"""

from __future__ import annotations


def guard(folder: str, readable: tuple[str, ...]) -> None:
    """Refuse from now on what leads outside: all files but those in *folder*, and *readable* for reading only."""
    import os
    import sys
    from posix import getcwd

    refused = (
        *("socket.", "subprocess.", "pty.", "shutil.", "ftplib.", "sqlite3.", "signal.pthread_kill", "ctypes."),
        *("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.kill", "os.chown", "os.chmod"),
        *("gc.get_objects", "gc.get_referrers", "fcntl.", "syslog.", "sys._current_frames"),
    )
    harmless = ("os.putenv", "os.unsetenv")
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    fsdecode, realpath = os.fsdecode, os.path.realpath
    own = (f"{realpath(folder)}/",)
    known = own + tuple(f"{path}/" for path in readable)

    def within(path: object, allowed: tuple[str, ...]) -> bool:
        if isinstance(path, int):
            return True
        found = realpath(fsdecode(path)) if isinstance(path, str | bytes) else ""
        return f"{found}/".startswith(allowed)

    def outside(event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & writing
            return not within(arguments[0], own if changes else known)
        if event in ("os.listdir", "os.scandir"):
            return not within(arguments[0] or getcwd(), known)
        paths = [each for each in arguments if isinstance(each, str | bytes)]
        return event.startswith("os.") and event not in harmless and not all(within(each, own) for each in paths)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # Packages import ctypes, which looks into its own process; only using it is refused.
        own_process = event == "ctypes.dlopen" and arguments[0] is None
        if (event.startswith(refused) and not own_process) or outside(event, arguments):
            raise PermissionError(f"{event} is refused here")

    sys.addaudithook(hook)
