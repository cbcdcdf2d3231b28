"""Gives every peer an environment of its own, at the version of peers.txt, and reuses it when it is there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tools import HERE, Tool

LIMIT = 300
"""Seconds that one installation may take."""


@dataclass(frozen=True)
class Installed:
    """Where a tool's programs lie, and its version; or why there are none."""

    programs: Path
    version: str
    problem: str = ""


def pinned() -> dict[str, str]:
    """Return the versions of peers.txt by distribution."""
    lines = (HERE / "peers.txt").read_text(encoding="utf-8").split()
    return dict(line.split("==") for line in lines)


def here(tool: Tool) -> Installed:
    """Return a tool that lies beside this interpreter."""
    programs = Path(sys.executable).parent
    try:
        return Installed(programs, version(tool.distribution))
    except PackageNotFoundError:
        problem = "" if tool.is_recount else f"{tool.distribution} is not installed beside this interpreter"
        return Installed(programs, "as it lies here", problem)


def environment(tool: Tool, folder: Path) -> Installed:
    """Return a tool in its environment under *folder*, which is made if it is not there yet."""
    wanted = pinned()[tool.distribution]
    root = folder / f"{tool.distribution}-{wanted}"
    mark = root / "installed"
    try:
        if not mark.exists():
            _make(root, f"{tool.distribution}=={wanted}", _uv(folder))
            mark.write_text(wanted, encoding="utf-8")
    except (subprocess.SubprocessError, OSError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        return Installed(root / "bin", wanted, f"could not be installed: {' '.join(last)}")
    return Installed(root / "bin", wanted)


def _make(root: Path, requirement: str, uv: Path) -> None:
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, root)
    _run(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", root / "bin" / "python", requirement)


def _uv(folder: Path) -> Path:
    """Return the installer; its own environment is made by what Python brings along."""
    root = folder / "installer"
    if not (root / "bin" / "uv").exists():
        _run(sys.executable, "-m", "venv", root)
        _run(root / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "uv")
    return root / "bin" / "uv"


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, timeout=LIMIT)
