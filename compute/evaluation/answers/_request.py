"""Prepares the run of a program: what the launcher is told, and the folder in which the program will be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compute.errors import UsageError
from compute.evaluation.answers.limits import Limits, Protection

NOBODY = 65534

EDITION = 1
"""To be raised where boot.py or hooks.py come to judge programs otherwise: as they are read as texts, no result's trace
holds their code."""


def request(
    program: bytes, limits: Limits, packages: list[str], protection: Protection, folder: Path
) -> dict[str, Any]:
    """Write down for the launcher all that it has to know: plain values."""
    python = os.path.realpath(sys.executable)
    namespaces = protection == "namespaces"
    libraries = str(folder / "libraries")
    return {
        "protection": protection,
        "program": program,
        "folder": str(folder if namespaces else folder / "work"),
        "libraries": packages if namespaces else libraries,
        "readable": [*_readable(python), *([] if namespaces else [libraries, *packages])],
        "room": limits.folder,
        # With an empty environment these mean what -I means, but that the hash seed can be set.
        "command": [python, "-s", "-P", "-S", "-c"],
        "environment": {**environment(), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        "limits": _kernel_limits(limits, 0 if namespaces else _busy()),
        "boot": _text("boot.py"),
        "hooks": _text("hooks.py") if protection == "hooks" else "",
        "edition": EDITION,
    }


@cache
def _text(name: str) -> str:
    return (Path(__file__).with_name("jail") / name).read_text("utf-8")


def environment() -> dict[str, str]:
    """Keep nothing of the environment but where Python itself finds its library, if it has to be told."""
    return {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")}


def _kernel_limits(limits: Limits, busy: int) -> dict[str, int]:
    """Name the limits as the kernel does; *busy* are the user's processes that count along."""
    wanted = {
        "CORE": 0,
        "CPU": limits.cpu,
        "FSIZE": limits.file,
        "NOFILE": limits.files,
        "NPROC": limits.processes + busy,
    }
    return {**wanted, "AS": limits.memory} if sys.platform == "linux" else wanted


def _busy() -> int:
    """Count the threads of the user that the program will be: without namespaces, its limit counts them too."""
    import psutil

    user = os.geteuid() or NOBODY
    every = psutil.process_iter(["uids", "num_threads"])
    return sum(each.info["num_threads"] or 1 for each in every if each.info["uids"] and each.info["uids"].real == user)


@cache
def _readable(python: str) -> tuple[str, ...]:
    """List what an interpreter needs to start: itself, Python's library, the C libraries. No folder within another."""
    library = os.path.realpath(os.path.dirname(os.__file__))  # noqa: PTH120
    system = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store", "/System/Library")
    wanted = [*system, python, library, os.path.realpath(Path(sys.base_prefix) / "lib")]
    there = sorted({path for path in wanted if Path(path).exists()})
    return tuple(path for path in there if not any(path.startswith(f"{other}/") for other in there))


@cache
def package(name: str) -> tuple[str, ...]:
    """Find the folders of an installed package: its own, and the one beside it with the C libraries it brings."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"the package {name!r} cannot be given to a program: it is not installed here")
    place = Path(found.submodule_search_locations[0]).resolve()
    return tuple(str(path) for path in (place, place.with_name(f"{name}.libs")) if path.is_dir())


@contextmanager
def folder_for() -> Iterator[Path]:
    """Make a temporary folder, and remove it whatever a program has done to the rights within it."""
    folder = Path(tempfile.mkdtemp(prefix="program-")).resolve()
    try:
        yield folder
    finally:
        with suppress(OSError, RecursionError):
            shutil.rmtree(folder)  # gone already where a namespace was mounted on it
        if folder.exists():
            _insist(folder)


def _insist(folder: Path) -> None:
    """Remove what Python cannot: folders without rights, and within each other a thousand times."""
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        subprocess.run([*command, str(folder)], capture_output=True, check=False)


def fill(folder: Path, program: bytes, packages: Sequence[str]) -> None:
    """Lay out the folder where no namespace will: work/program.py, and links to the packages."""
    work, libraries = folder / "work", folder / "libraries"
    work.mkdir()
    libraries.mkdir()
    (work / "program.py").write_bytes(program)
    for place in packages:
        (libraries / Path(place).name).symlink_to(place)
    if os.geteuid() == 0:
        folder.chmod(0o711)
        os.chown(work, NOBODY, NOBODY)
