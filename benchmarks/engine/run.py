"""Times Recount beside its peers: the same graph, the same edits, whole commands as a user types them.

    python benchmarks/engine/run.py [--sizes 150 1000] [--tools Recount doit …] [--out FILE.md]

Each step is done in all tools in turn. See README.md beside this file for what is measured and how.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import alone
import install
from contest import Effort, contest, works
from graph import EDITS
from report import Report, facts
from tools import TOOLS, Tool

PEERS = Path.home() / ".cache" / "recount-benchmarks"


def main() -> None:
    options = _parser().parse_args()
    chosen = [tool for tool in TOOLS if not options.tools or tool.name in options.tools]
    effort = Effort(options.repeats, options.edits, options.limit, tuple(options.steps))
    report = Report(_installed(chosen, options), facts=facts())
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as name:
        folder = Path(name)
        _try(report, folder, options.limit)
        for size in options.sizes:
            report.sizes[size] = contest(report.installed, size, effort, folder)
            _save(report, options.out)
        report.alone += alone.overhead(folder, options.overhead, options.limit)
        report.alone += alone.planned(folder, options.planned, options.limit)
    _save(report, options.out)
    print(report.markdown())


def _save(report: Report, out: Path | None) -> None:
    """Write what there is so far, so that an interrupt loses no whole size."""
    report.facts["load after"] = [round(value, 2) for value in os.getloadavg()]
    if out:
        report.write(out)


def _parser() -> argparse.ArgumentParser:
    names = [tool.name for tool in TOOLS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[150, 1000], help="values in the graph")
    parser.add_argument("--tools", nargs="+", choices=names, default=[], metavar="TOOL", help=f"of {', '.join(names)}")
    parser.add_argument("--steps", nargs="*", default=[edit.name for edit in EDITS], help="edits to make")
    parser.add_argument("--repeats", type=int, default=7, help="no-ops of each tool")
    parser.add_argument("--edits", type=int, default=3, help="times that each edit is made")
    parser.add_argument("--limit", type=float, default=600, help="seconds that one command may take")
    parser.add_argument("--overhead", type=int, nargs="*", default=[], help="sizes: Recount's cold cost a cell")
    parser.add_argument("--planned", type=int, nargs="*", default=[], help="sizes: Recount's plan of a finished study")
    parser.add_argument("--peers-venv", type=Path, default=PEERS, help="where the peers' environments lie or are made")
    parser.add_argument("--peers-here", action="store_true", help="take peers from this interpreter's environment")
    parser.add_argument("--folder", type=Path, help="where the projects are laid out; a temporary folder by default")
    parser.add_argument("--out", type=Path, help="write the report here, and JSON beside it")
    return parser


def _installed(chosen: Iterable[Tool], options: argparse.Namespace) -> dict[Tool, install.Installed]:
    folder = options.peers_venv.expanduser().resolve()
    return {
        tool: install.here(tool) if tool.is_recount or options.peers_here else install.environment(tool, folder)
        for tool in chosen
    }


def _try(report: Report, folder: Path, limit: float) -> None:
    """Set aside what cannot be installed or gives no right total for ten cells."""
    for tool, found in list(report.installed.items()):
        problem = found.problem or works(tool, found, folder, limit)
        if problem:
            report.absent[tool.name] = problem
            del report.installed[tool]
            print(f"{tool.name} is not measured: {problem}", flush=True)


if __name__ == "__main__":
    main()
