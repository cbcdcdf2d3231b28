"""Large payload files, each kept once: `objects/ab/<sha256>`, to which the results that have it are hard links.

A result's folder is whole by itself: an object that is missing costs space, never a result. Knows
files and digests; knows nothing of records.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from compute.engine import files

LARGE = 64 * 1024
"""Bytes. Smaller files lie in their result's folder alone: a link would save less than it costs."""

_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV}

_without_links: set[Path] = set()
"""Stores on file systems that have no hard links: their files stay where they are."""


def share(root: Path, folder: Path, digests: Mapping[str, str]) -> None:
    """Make the large files of *folder* links to the objects with their *digests*, or make objects of them.

    Any number of processes may share the same bytes at once. All large files become read-only: who
    writes to one through one of its names would damage all results that have it.
    """
    for name, digest in digests.items():
        path = folder / name
        found = path.stat()
        if found.st_size >= LARGE:
            path.chmod(stat.S_IMODE(found.st_mode) & 0o444)
            if root not in _without_links:
                _share(root, path, digest)


def _share(root: Path, path: Path, digest: str) -> None:
    target = _place(root, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            os.link(path, target)
            return
        except FileExistsError:
            if _take(target, path, digest):
                return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _without_links.add(root)
            return


def _take(target: Path, path: Path, digest: str) -> bool:
    """Replace *path* by a link to an object; False if that was damaged, full or gone, and is out of the way."""
    spare = path.with_name(f".{uuid.uuid4().hex}")
    try:
        if path.samefile(target):
            return True
        if files.sha256(target) == digest:
            os.link(target, spare)
            spare.replace(path)
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EMLINK:  # the object of another user may refuse links: then we have our own
            return error.errno in _NO_LINKS or _raised(error)
    target.unlink(missing_ok=True)
    return False


def _raised(error: OSError) -> bool:
    raise error


def drop_damaged(root: Path, digests: Iterable[str]) -> None:
    """Remove the objects that no longer have the bytes of their name, so that none is linked again."""
    for digest in digests:
        target = _place(root, digest)
        with suppress(FileNotFoundError):
            if files.sha256(target) != digest:
                target.unlink()


def release(root: Path, digests: Iterable[str]) -> None:
    """Delete those of the objects that no result has any longer."""
    for digest in digests:
        target = _place(root, digest)
        with suppress(FileNotFoundError):
            if target.stat().st_nlink == 1:
                target.unlink()


def _place(root: Path, digest: str) -> Path:
    return root / "objects" / digest[:2] / digest
