"""Times a study's build: cold by cell function, then without changes, then after one changed value.

    python benchmarks/build.py [STUDY] [--profile mini] [--set key=value ...] [--change density=0.5] [--repeats 7]

Works on a copy of the project in a temporary folder, so that the project's own cache is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="dare-source-selection")
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--change", default="density=0.5")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        ignore = shutil.ignore_patterns("cache", "site", ".venv", ".git", "studies/dare*")
        shutil.copytree(REPOSITORY, root, ignore=ignore)
        command = [options.study, "--profile", options.profile]
        command += [part for change in options.changes for part in ("--set", change)]
        report("cold build", [timed(root, "build", *command)])
        by_function(root)
        report("build without changes", [timed(root, "build", *command) for _ in range(options.repeats)])
        report("status", [timed(root, "status", *command) for _ in range(options.repeats)])
        report(f"after {options.change}", [timed(root, "build", *command, "--set", options.change)])
        report("mkdocs build --strict", [timed(root, module="mkdocs", arguments=("build", "--strict", "-q"))])


def timed(root: Path, *words: str, module: str = "compute", arguments: tuple[str, ...] = ()) -> float:
    """Run a command in *root* and return its wall seconds."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", module, *words, *arguments]
    started = time.perf_counter()
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def report(what: str, seconds: list[float]) -> None:
    spread = f" (median of {len(seconds)}, {min(seconds):.2f} to {max(seconds):.2f})" if len(seconds) > 1 else ""
    print(f"{what}: {statistics.median(seconds):.2f} s{spread}")


def by_function(root: Path) -> None:
    """Sum the records up by cell function."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for path in (root / "cache" / "results").glob("*/*/*/record.json"):
        record = json.loads(path.read_bytes())
        row = sums[record["function"]]
        row[0] += 1
        row[1] += record["cost"]["seconds"]
        row[2] += record["cost"]["cpu_seconds"]
    print(f"  {'function':<20} {'cells':>6} {'seconds':>9} {'CPU s':>9} {'s a cell':>9}")
    for name, (cells, wall, cpu) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(f"  {name:<20} {cells:>6} {wall:>9.2f} {cpu:>9.2f} {wall / cells:>9.3f}")


if __name__ == "__main__":
    main()
