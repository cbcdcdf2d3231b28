"""Times the translation of adapters: one tensor beside scikit-learn, everything at real shapes, and training.

    python benchmarks/adapters/run.py [--rounds 3] [--parts one-tensor whole training] [--out FILE.md]

See README.md beside this file for what is measured and how.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import install
from contest import TOOLS, Lane, contest, one_tensor, together, whole
from report import Report, facts

PEERS = Path.home() / ".cache" / "recount-benchmarks"
PARTS = ("one-tensor", "whole", "training")
ADAPTERS = 24


def main() -> None:
    options = _parser().parse_args()
    peer = install.Installed(Path(), problem="left out")
    if "one-tensor" in options.parts and not options.alone:
        peer = install.scikit_learn(options.scikit_learn, options.peers_venv.expanduser().resolve())
    with tempfile.TemporaryDirectory(prefix="adapters-") as temporary:
        folder = Path(temporary)
        parts: dict[str, Sequence[Lane]] = {}
        if "one-tensor" in options.parts:
            parts["one tensor"] = one_tensor(folder, None if peer.problem else peer.python, options.ridge_cv)
        if "whole" in options.parts:
            parts["whole"] = whole(2 if options.small else None)
        if "training" in options.parts:
            parts["training"] = together(ADAPTERS, 2 if options.small else 40)
        known = facts(peer.problem or peer.versions, options.rounds)
        contest(parts, options.rounds, options.limit)
        report = Report(known, parts, _differences(folder), judged=not options.small)
    if options.out:
        report.write(options.out)
    print(report.markdown())


def _differences(folder: Path) -> dict[str, float]:
    """Compare the predictions of one tensor: the largest difference, relative to the largest entry."""
    import numpy as np  # this process stays small until its children, whose memory is measured, are done

    found = {name: folder / f"{TOOLS[name]}.npy" for name in ("Ridge", "KernelRidge")}
    ours = folder / "recount.npy"
    if not ours.exists():
        return {}
    wanted = np.load(ours)
    return {
        name: float(np.abs(np.load(file) - wanted).max() / np.abs(wanted).max())
        for name, file in found.items()
        if file.exists()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="times that every lane runs")
    parser.add_argument("--small", action="store_true", help="two layers and two steps: to see that everything runs")
    parser.add_argument("--alone", action="store_true", help="without scikit-learn")
    parser.add_argument("--ridge-cv", action="store_true", help="also RidgeCV, which takes 12 GB and a minute")
    parser.add_argument("--limit", type=float, default=600, help="seconds that one run may take")
    parser.add_argument("--scikit-learn", type=Path, help="an environment that has it, instead of one made for this")
    parser.add_argument("--peers-venv", type=Path, default=PEERS, help="where its environment lies or is made")
    parser.add_argument("--out", type=Path, help="write the report here, and JSON beside it")
    return parser


if __name__ == "__main__":
    main()
