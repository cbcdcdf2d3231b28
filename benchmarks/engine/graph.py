"""The graph that every tool computes, the edits that it meets, and what its total must then be."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

GROUP = 10


@dataclass
class Graph:
    """One value a cell, sums of ten cells each, one total: what the tools are asked for, and the truth."""

    size: int
    values: dict[str, int] = field(init=False)
    factor: int = 3
    """What the helper multiplies by: in a module of its own."""
    offset: int = 1
    """What the cell function itself adds."""
    remark: int = 0
    """A comment in the cell function."""

    def __post_init__(self) -> None:
        self.values = {f"c{number}": number for number in range(1, self.size + 1)}

    @property
    def groups(self) -> dict[str, list[str]]:
        names = list(self.values)
        return {f"g{start // GROUP}": names[start : start + GROUP] for start in range(0, len(names), GROUP)}

    @property
    def cells(self) -> int:
        """How many cells there are, the sums and the total among them."""
        return self.size + len(self.groups) + 1

    @property
    def total(self) -> int:
        """What is true."""
        return sum(value * self.factor + self.offset for value in self.values.values())

    def config(self) -> str:
        """Return the file of values: JSON, which is YAML too."""
        return json.dumps({"values": self.values, "groups": self.groups}, indent=1)


@dataclass(frozen=True)
class Edit:
    """One change of a project: which file, and which text in it counts up."""

    name: str
    title: str
    what: str

    def reruns(self, graph: Graph) -> int:
        """How many cells have a new result after it, and so must run."""
        return {"value": 3, "remark": 0}.get(self.name, graph.cells)


EDITS = (
    Edit("value", "value", "one source value of the config"),
    Edit("remark", "comment", "a comment in the cell function"),
    Edit("own", "own code", "the cell function's own code"),
    Edit("helper", "helper", "the code of a function in another module that the cells call"),
)


@dataclass
class Files:
    """Where a tool's project keeps what is edited."""

    root: Path
    config: str
    cells: str
    helper: str

    def lay(self, graph: Graph) -> None:
        (self.root / self.config).write_text(graph.config(), encoding="utf-8")

    def edit(self, edit: Edit, graph: Graph) -> None:
        """Make the next edit of its kind in the project, and in *graph*, which knows what is true."""
        if edit.name == "value":
            graph.values["c1"] += 1_000_000
            self.lay(graph)
            return
        attribute, file, text = {
            "remark": ("remark", self.cells, "the benchmark edits: {}"),
            "own": ("offset", self.cells, "offset = {}"),
            "helper": ("factor", self.helper, "factor = {}"),
        }[edit.name]
        before = getattr(graph, attribute)
        setattr(graph, attribute, before + 1)
        _replace(self.root / file, text.format(before), text.format(before + 1))


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SystemExit(f"{path}: expected {old!r} once, found it {text.count(old)} times")
    path.write_text(text.replace(old, new), encoding="utf-8")
