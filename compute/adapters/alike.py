"""Whether adapters of one model can stand side by side: the same modules, of the same sizes and rank. Knows no task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from compute.adapters import peft_folder
from compute.adapters.adapter import Place
from compute.errors import UsageError

Shape = tuple[int, int, int]
"""Outputs and inputs of a module, and the rank of its LoRA."""

Shapes = tuple[tuple[Place, Shape], ...]


class Looks:
    """What adapters look like, noted as each is audited, so that none is read twice."""

    def __init__(self) -> None:
        self._shapes: dict[Path, Shapes] = {}

    def audit(self, folder: Path) -> str:
        """Return why the adapter in *folder* cannot be translated, "" if it can; note what it looks like."""
        try:
            adapter = peft_folder.read(folder)
        except UsageError as error:
            return str(error)
        found = ((place, adapter[place]) for place in adapter.places)
        self._shapes[folder] = tuple((place, (one.b.shape[0], one.a.shape[1], one.rank)) for place, one in found)
        return ""

    def strangers(self, folders: Mapping[str, Path]) -> dict[str, str]:
        """Say of all audited adapters that are not like most, by name, in what they differ first."""
        shapes = {name: self._shapes[folder] for name, folder in folders.items()}
        if not shapes:
            return {}
        usual = Counter(shapes.values()).most_common(1)[0][0]
        return {name: _difference(dict(found), dict(usual)) for name, found in shapes.items() if found != usual}


def _difference(found: Mapping[Place, Shape], usual: Mapping[Place, Shape]) -> str:
    for place in sorted({*found, *usual}):
        where = f"{place.kind} of layer {place.layer}"
        if place not in found:
            return f"lacks {where}, which most adapt"
        if place not in usual:
            return f"adapts {where}, which most do not"
        if found[place] != usual[place]:
            return f"has {_told(found[place])} at {where}, and most have {_told(usual[place])}"
    raise ValueError("the two are alike")


def _told(shape: Shape) -> str:
    outputs, inputs, rank = shape
    return f"{outputs} × {inputs} of rank {rank}"
