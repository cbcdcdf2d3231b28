"""The merges, and for each how a user of every tool asks for it: a file, a command, and what is known beforehand."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fill import FILE

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXPERTS = ("ft1", "ft2", "ft3", "ft4")
SHARE = 1 / len(EXPERTS)
OWN_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Not handed on: every tool takes as many threads as it takes by itself."""


@dataclass(frozen=True)
class Merge:
    """One merge: mergekit's parameters for each expert, or a recipe that mergekit's words cannot say."""

    name: str
    title: str
    each: dict[str, float]
    needs_base: bool = True
    method: str = ""
    """mergekit's word, and peft's function."""


MERGES = {
    merge.name: merge
    for merge in (
        Merge("average", "Average", {"weight": SHARE}, needs_base=False, method="linear"),
        Merge("dare_ties", "DARE-TIES, drop .9", {"weight": SHARE, "density": 0.1}, method="dare_ties"),
        Merge("ties", "TIES, density .2 by tensor", {"weight": SHARE, "density": 0.2}, method="ties"),
        Merge("several", "Average, TIES and DARE-TIES from one reading", {}),
    )
}
PLAIN_DARE = {
    "method": "ties",
    "preset": "mergekit",
    "options": {"density": 1.0, "divide": "none"},
    "dare": {"drop_rate": 0.9, "seed": 0, "rescale": "density"},
}
"""DARE-TIES with 1/(1 − p) instead of mergekit's norm of every tensor, which has to be known first."""
SEVERAL = {
    "average": {"method": "average"},
    "ties": {"method": "ties", "preset": "mergekit", "options": {"density": 0.2}},
    "dare_ties": PLAIN_DARE,
}


@dataclass(frozen=True)
class Lane:
    """One tool doing one merge in one way."""

    tool: str
    how: str
    """What is particular, such as what it knows before it starts."""
    command: Callable[[Path], list[str]]
    """The command that writes to a folder which is not there yet."""
    prepare: Callable[[], None] = lambda: None
    """What to do before, untimed."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.tool}, {self.how}" if self.how else self.tool


@dataclass(frozen=True)
class Place:
    """Where the checkpoints of one dtype lie, and where this benchmark writes."""

    checkpoints: Path
    work: Path
    dtype: str
    device: str
    programs: Path | None
    """mergekit's."""

    def inputs(self, merge: Merge) -> list[Path]:
        """Return the files that a merge reads."""
        names = (*(["base"] if merge.needs_base else []), *EXPERTS)
        return [self.checkpoints / name / FILE for name in names]

    def file(self, name: str, content: dict[str, Any]) -> Path:
        """Write a recipe: JSON, which is YAML too."""
        path = self.work / f"{self.dtype}-{name}.yaml"
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return path


def environment(lane: Lane) -> dict[str, str]:
    """Return the environment for a lane: this one's, offline, with no limit on threads."""
    kept = {name: value for name, value in os.environ.items() if name not in OWN_THREADS}
    return {**kept, "HF_HUB_OFFLINE": "1", "PYTHONPATH": "", **dict(lane.environment)}


def lanes(merge: Merge, place: Place) -> list[Lane]:
    """Return all ways to do a merge."""
    if merge.name == "several":
        return [_floor(merge, place), *_several(merge, place)]
    document = place.file(merge.name, _mergekit_document(merge, place))
    found = [_floor(merge, place), *_recount(merge, place, document)]
    found += [_mergekit(document, place)] if place.programs else []
    return [*found, _peft(merge, place)]


def _mergekit_document(merge: Merge, place: Place) -> dict[str, Any]:
    models = [{"model": str(place.checkpoints / name), "parameters": merge.each} for name in EXPERTS]
    base = {"base_model": str(place.checkpoints / "base")} if merge.needs_base else {}
    return {"merge_method": merge.method, **base, "models": models, "dtype": place.dtype}


def _own_document(place: Place, **more: Any) -> dict[str, Any]:
    sources = [{"model": str(place.checkpoints / name), "coefficient": SHARE} for name in EXPERTS]
    return {"base": str(place.checkpoints / "base"), "sources": sources, "dtype": place.dtype, **more}


def _recount(merge: Merge, place: Place, document: Path) -> list[Lane]:
    found = [_ours(place, document, "", "files known"), _ours(place, document, "first", "first time")]
    if merge.name == "ties":
        found.append(_ours(place, document, "known", "thresholds known"))
    if merge.name == "dare_ties":
        own = place.file("own-dare", _own_document(place, **PLAIN_DARE))
        found.append(_ours(place, document, "known", "norms known"))
        found.append(_ours(place, own, "", "files known, by 1/(1 − p)"))
    return found


def _several(merge: Merge, place: Place) -> list[Lane]:
    document = place.file("several", _own_document(place, merges=SEVERAL))
    return [_ours(place, document, "", "files known"), _ours(place, document, "known", "thresholds known")]


def _ours(place: Place, document: Path, knows: str, how: str) -> Lane:
    """Return Recount with a cache of its own, of which what *how* does not tell is taken away before."""
    cache = place.work / f"cache-{place.dtype}-{document.stem}-{knows}"
    forgotten = {"": cache / "recount" / "thresholds", "first": cache, "known": None}[knows]
    device = () if place.device == "cpu" else ("--device", place.device)
    return Lane(
        "Recount",
        how,
        lambda out: [sys.executable, "-m", "compute", "merge", str(document), str(out), *device],
        prepare=lambda: shutil.rmtree(forgotten, ignore_errors=True) if forgotten else None,
        environment=(("XDG_CACHE_HOME", str(cache)), ("PYTHONPATH", str(REPOSITORY))),
    )


def _mergekit(document: Path, place: Place) -> Lane:
    program = str(place.programs / "mergekit-yaml") if place.programs else ""
    options = ("--quiet", "--no-copy-tokenizer", "--random-seed", "0", *(["--cuda"] if place.device != "cpu" else []))
    return Lane("mergekit", "", lambda out: [program, str(document), str(out), *options])


def _peft(merge: Merge, place: Place) -> Lane:
    experts = [str(place.checkpoints / name) for name in EXPERTS]
    base = ["--base", str(place.checkpoints / "base")] if merge.needs_base else []
    more = ["--density", str(merge.each.get("density", 1)), "--device", place.device]
    script = str(HERE / "peft_merge.py")
    return Lane(
        "peft",
        "its functions tensor by tensor",
        lambda out: [sys.executable, script, merge.method, str(out), "--experts", *experts, *base, *more],
    )


def _floor(merge: Merge, place: Place) -> Lane:
    files = [str(path) for path in place.inputs(merge)]
    return Lane("the floor", "", lambda out: [sys.executable, str(HERE / "floor.py"), str(out), *files])
