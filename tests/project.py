"""A project folder of its own for a test, and the command line run in it as a user does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

TINY = {
    "locales": "sq-AL,de-DE,it-IT,tr-TR",
    "targets": "sq-AL",
    "count": "2",
    "draws": "1",
    "more_methods": "model_stock,regmean",
    "options": "{}",
    "examples": "8",
    "phrasebook.train": "8",
    "phrasebook.dev": "4",
    "phrasebook.test": "4",
    "models.architecture.hidden": "16",
    "models.architecture.vocabulary": "400",
    "models.pretraining.steps": "5",
    "models.finetuning.epochs": "1",
}
"""Changes of the mini profile that make a build take seconds; the models learn nothing."""

CHANGES = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]


def hear_interrupts() -> None:
    """Let a child process hear SIGINT, which those started in the background of a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Project:
    """A folder that holds what the repository's own root holds for a build, and nothing generated."""

    root: Path

    def run(self, *arguments: str, tiny: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m compute` here."""
        return self._run(["-m", "compute", *arguments, *(CHANGES if tiny else [])], environment)

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script here, in an interpreter of its own."""
        return self._run(["-c", script], {})

    def _run(self, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return every file here with its modification time and bytes."""
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def make(root: Path) -> Project:
    """Lay out a project in *root*."""
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    shutil.copy(REPOSITORY / "mkdocs.yml", root / "mkdocs.yml")
    (root / "docs").mkdir()
    for page in (REPOSITORY / "docs").glob("*.md"):
        shutil.copy(page, root / "docs" / page.name)
    shutil.copytree(REPOSITORY / "docs" / "guide", root / "docs" / "guide")
    return Project(root)
