"""Times Recount's merges beside mergekit's and peft's: the same models, the same recipe, whole commands.

    python benchmarks/merging/run.py [--rounds 3] [--merges average ties …] [--dtypes float32] [--out FILE.md]

Each merge is done by all tools in turn. See README.md beside this file for what is measured and how.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import install
from contest import contest
from lanes import HERE, MERGES, REPOSITORY, Place
from report import Report, facts

PEERS = Path.home() / ".cache" / "recount-benchmarks"
TOOLS = ("the floor", "Recount", "mergekit", "peft")


def main() -> None:
    options = _parser().parse_args()
    theirs = install.Installed(Path(), problem="left out")
    if "mergekit" in options.tools:
        theirs = install.mergekit(options.mergekit, options.peers_venv.expanduser().resolve())
    with tempfile.TemporaryDirectory(prefix="merging-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        _fill(work, options)
        report = Report(facts(theirs.versions, options, work), theirs.problem, judged=options.size == "base")
        for dtype in options.dtypes:
            for name in options.merges:
                place = Place(work / dtype, work, dtype, options.device, None if theirs.problem else theirs.programs)
                report.contests.append(contest(MERGES[name], place, options.tools, options.rounds, options.limit))
                _save(report, options.out)
    print(report.markdown())


def _fill(work: Path, options: argparse.Namespace) -> None:
    """Make the checkpoints, in another process: this one has to stay small, see measure.py."""
    if work.is_relative_to(REPOSITORY):
        raise SystemExit(
            f"--work {work} lies in the project: Recount would use the project's cache; name another folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    words = [str(HERE / "fill.py"), str(work), "--size", options.size, "--dtypes", *options.dtypes]
    subprocess.run([sys.executable, *words], check=True)


def _save(report: Report, out: Path | None) -> None:
    """Write what there is so far, so that an interrupt loses no whole merge."""
    if out:
        report.write(out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--merges", nargs="+", choices=MERGES, default=list(MERGES), metavar="MERGE", help="of " + ", ".join(MERGES)
    )
    parser.add_argument(
        "--tools", nargs="+", choices=TOOLS, default=list(TOOLS), metavar="TOOL", help="of " + ", ".join(TOOLS)
    )
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument(
        "--rounds", type=int, default=3, help="times that every tool does every merge, after one warm-up"
    )
    parser.add_argument(
        "--size", choices=["base", "tiny"], default="base", help="of the models: XLM-R-base's, or for a try"
    )
    parser.add_argument("--device", default="cpu", help="cuda passes --device cuda to Recount and --cuda to mergekit")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one merge may take")
    parser.add_argument("--mergekit", type=Path, help="an environment that has mergekit, instead of one made for this")
    parser.add_argument("--peers-venv", type=Path, default=PEERS, help="where mergekit's environment lies or is made")
    parser.add_argument(
        "--work", type=Path, help="where the checkpoints lie or are made; a temporary folder by default"
    )
    parser.add_argument("--out", type=Path, help="write the report here, and JSON beside it")
    return parser


if __name__ == "__main__":
    main()
