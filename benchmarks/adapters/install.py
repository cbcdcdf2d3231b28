"""Gives scikit-learn an environment of its own, at the version of peers.txt, and reuses it when it is there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 1800
"""Seconds that the installation may take."""


@dataclass(frozen=True)
class Installed:
    """Where scikit-learn's Python lies, and the versions there; or why there is none."""

    python: Path
    versions: str = ""
    problem: str = ""


def scikit_learn(existing: Path | None, folder: Path) -> Installed:
    """Return scikit-learn of the *existing* environment, or of the one under *folder*, made if it is not there yet."""
    wanted = (HERE / "peers.txt").read_text(encoding="utf-8").split()
    root = existing or folder / "-".join(wanted).replace("==", "-")
    try:
        if not existing and not (root / "installed").exists():
            _make(root, wanted)
        return Installed(root / "bin" / "python", _versions(root))
    except (subprocess.SubprocessError, OSError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        return Installed(root / "bin" / "python", problem=f"could not be used: {' '.join(last)}")


def _make(root: Path, requirements: list[str]) -> None:
    _run(sys.executable, "-m", "venv", "--clear", root)
    _run(root / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    (root / "installed").write_text("\n".join(requirements), encoding="utf-8")


def _versions(root: Path) -> str:
    script = "from importlib.metadata import version\n"
    script += "print(*(name + ' ' + version(name) for name in ('scikit-learn', 'scipy', 'numpy')), sep=', ')"
    return _run(root / "bin" / "python", "-c", script).strip()


def _run(*words: object) -> str:
    command = [str(word) for word in words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT).stdout
