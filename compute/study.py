"""What a study is: config, results, tables, figures and claims. Knows cells, not any study or page."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from compute.engine.cell import Cell, cells_in
from compute.errors import unknown

if TYPE_CHECKING:
    import altair

Row = Mapping[str, object]
Rows = Sequence[Row]
"""A result of a study: one row a line, whose values are plain or cells. In tables, figures and claims a
cell's result that is a mapping is spread over fields: of `score` the accuracy is `score_accuracy`."""

Kind = Literal[
    "text", "code", "locale", "locales", "percent", "points", "number", "p", "seconds", "bytes", "bool", "verdict",
    "state",
]  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a table: the field of a row that it shows, its heading, and how values are written.

    A *percent* is given as a share of one, *points* in percentage points (a study's results hold shares; the
    page multiplies), *seconds* and *bytes* as such; *locale* is a code such as ``sw-KE`` that is shown with its
    language, *locales* a list of codes, *p* a p-value, *verdict* and *state* words that become badges. *low*
    and *high* name the fields with the bounds of an interval, *link* the field with the address that the value
    leads to, and *best* says which value of the column is set in bold.
    """

    name: str
    title: str
    kind: Kind = "text"
    low: str = ""
    high: str = ""
    digits: int | None = None
    best: Literal["highest", "lowest"] | None = None
    note: str = ""
    link: str | None = None

    @property
    def is_numeric(self) -> bool:
        """Tell whether the values are numbers, to be set flush right and sorted by size."""
        return self.kind in ("percent", "points", "number", "p", "seconds", "bytes")


@dataclass(frozen=True)
class Table:
    """A table of a study: the result that it shows, its columns, and the published rows set beside it.

    Published rows are those of `published.yaml` under the table's *published* name; they are joined on the
    fields *on*, and each of their fields `x` becomes the field `published_x`. Columns whose name begins so
    show them; published percentages are percentages, not shares.
    """

    name: str
    rows: str
    title: str
    columns: tuple[Column, ...]
    published: str = ""
    on: tuple[str, ...] = ()
    json: bool = False
    """Whether the page also offers all fields of the rows, also those without a column, as JSON."""


@dataclass(frozen=True)
class OfResults:
    """A function of data frames, whose parameters name the results that it reads."""

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the results that the function reads."""
        return tuple(inspect.signature(self.function).parameters)


@dataclass(frozen=True)
class Figure(OfResults):
    """A chart of a study."""

    caption: str


@dataclass(frozen=True)
class Evidence:
    """What a claim's predicate found: `holds` is None when the data at hand cannot tell."""

    holds: bool | None
    measured: str
    """The numbers that decided, in words for the page."""
    why: str = ""
    """Why it cannot be told, when it cannot."""


@dataclass(frozen=True)
class Claim(OfResults):
    """A statement that can be checked, with the place in the source document that makes it."""

    sentence: str
    source: str


def figure(caption: str) -> Callable[[Callable[..., altair.Chart]], Figure]:
    """Make a function of data frames a figure."""
    return lambda function: Figure(function, caption)


def claim(sentence: str, *, source: str) -> Callable[[Callable[..., Evidence]], Claim]:
    """Make a predicate over data frames a claim."""
    return lambda function: Claim(function, sentence, source)


@dataclass(frozen=True)
class Repository:
    """A repository of the hub that a config needs, and where in the config its commit stands, by its name."""

    name: str
    kind: Literal["model", "dataset"]
    place: tuple[str, ...]
    """The keys that lead to the mapping of commits, as ("models", "revisions")."""


Repositories = Sequence[Repository]


@dataclass(frozen=True)
class Study:
    """One report."""

    title: str
    summary: str
    config: type
    """A frozen dataclass; the constraints in its annotations are checked (see `constraints`)."""
    results: Callable[[Any], Mapping[str, Rows | Cell]]
    """Build the cells from a config: fast, and without heavy imports."""
    check: Callable[[Any], None] = lambda config: None
    """Raise UsageError if the config or the inputs that it names cannot work. Runs before any cell."""
    repositories: Callable[[Any], Repositories] = lambda config: ()
    """Name what a config needs from the hub, so that `lock` can pin it; nothing if it needs nothing."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    claims: tuple[Claim, ...] = ()
    implied: Callable[[Mapping[str, Any]], Rows] = lambda published: ()
    """Recompute from the published numbers what they imply; rows of statement, stated, implied, follows."""
    folder: Path = field(default=Path(), compare=False)

    @property
    def slug(self) -> str:
        """The study's name in addresses and on the command line."""
        return self.folder.name.replace("_", "-")

    def published(self) -> dict[str, Any]:
        """Read the source document's tables from `published.yaml`; empty without one."""
        import yaml

        path = self.folder / "published.yaml"
        return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def profiles(self) -> list[str]:
        """List the study's profiles: `mini` first, as it is the default."""
        names = (file.stem for file in self.folder.glob("*.yaml") if "." not in file.stem)
        return sorted((n for n in names if n != "published"), key=lambda name: (name != "mini", name))


def wanted(results: Mapping[str, Rows | Cell]) -> Iterator[Cell]:
    """Find the cells among a study's results."""
    return cells_in(results)


def slugs() -> list[str]:
    """List the studies, without importing any."""
    folder = Path(__file__).parent / "studies"
    return sorted(file.parent.name.replace("_", "-") for file in folder.glob("*/study.py"))


def load(slug: str) -> Study:
    """Import a study by its slug; UsageError with the nearest if there is none."""
    if slug not in slugs():
        raise unknown("study", slug, slugs())
    name = f"compute.studies.{slug.replace('-', '_')}.study"
    found: Study = importlib.import_module(name).study
    return found


def readable_names(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Name cells for people; where two share a name, a piece of the key tells them apart."""
    counts: dict[str, int] = {}
    for item in cells:
        counts[item.name] = counts.get(item.name, 0) + 1
    return {item.name if counts[item.name] == 1 else f"{item.name}~{item.key[:6]}": item for item in cells}
