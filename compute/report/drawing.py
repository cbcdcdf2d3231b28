"""Writes a chart as the files that a page shows: the same bytes for the same chart; knows no study."""

from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.report import palette
from compute.report.files import write_if_changed

if TYPE_CHECKING:
    import altair as alt

WIDTH = 640
"""Inner width in pixels of a static chart whose live twin is as wide as its container."""

_NUMBERED_ID = re.compile(r'(id="|href="#|url\(#)((gradient_|clip)\d+)')
_SIZE = re.compile(r'<svg [^>]*?width="(\d+)[^"]*" height="(\d+)')


@dataclass(frozen=True)
class ChartFiles:
    """The files of one chart in *folder*, and the size of its static images in pixels."""

    folder: Path
    key: str
    description: str
    width: int
    height: int

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the files: specification, light and dark SVG, PNG."""
        return _names(self.key)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths of the files, in the order of `names`."""
        return tuple(self.folder / name for name in self.names)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart as a page shows it.

    *base* is the address of the chart's folder relative to the page, such as ``charts/``; *csv_href* that of
    its data; *table* the markup of its data, shown folded below it.
    """

    files: ChartFiles
    caption: str
    base: str = "charts/"
    csv_href: str = ""
    table: str = ""


def write(chart: alt.TopLevelMixin, folder: Path, key: str) -> ChartFiles:
    """Write ``<key>.vl.json``, ``.light.svg``, ``.dark.svg`` and ``.png`` in *folder*; return what they are.

    Each file is written only if its bytes changed, and nothing is drawn if what is there was drawn from the
    same specification, style and renderer. The chart must have a description.
    """
    spec = _spec(chart)
    if not spec.get("description"):
        raise ValueError(f"chart {key} has no description; say what it shows to those who cannot see it")
    marks = {"light": _mark(spec, palette.LIGHT), "dark": _mark(spec, palette.DARK)}
    spec_path, light, dark, png = (folder / name for name in _names(key))
    write_if_changed(spec_path, json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n")
    if not (_is_drawn(light, marks["light"]) and _is_drawn(dark, marks["dark"]) and png.is_file()):
        _draw(spec, light, dark, png, marks)
    width, height = _size(light)
    return ChartFiles(folder, key, str(spec["description"]), width, height)


def _names(key: str) -> tuple[str, ...]:
    return (f"{key}.vl.json", f"{key}.light.svg", f"{key}.dark.svg", f"{key}.png")


def _spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return the chart's specification without a style of its own, which would win over that of the page."""
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("config", None)
    return spec


def _static(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the specification with a width of its own where it asks for that of its container."""
    if spec.get("width") != "container":
        return spec
    return {**deepcopy(spec), "width": WIDTH}


def _draw(spec: dict[str, Any], light: Path, dark: Path, png: Path, marks: dict[str, str]) -> None:
    import vl_convert

    static = _static(spec)
    bright, dim = palette.static_config(palette.LIGHT), palette.static_config(palette.DARK)
    drawn = {light: (bright, marks["light"]), dark: (dim, marks["dark"])}
    for path, (config, mark) in drawn.items():
        svg = renumbered(vl_convert.vegalite_to_svg(static, config=config))
        write_if_changed(path, f"{svg.rstrip()}\n{mark}\n")
    write_if_changed(png, vl_convert.vegalite_to_png(static, config=bright, scale=2))


def renumbered(svg: str) -> str:
    """Number the gradients and clips of an SVG from 0: the renderer counts them up over all that it draws."""
    seen: dict[str, str] = {}

    def local(match: re.Match[str]) -> str:
        return match[1] + seen.setdefault(match[2], f"{match[3]}{len(seen)}")

    return _NUMBERED_ID.sub(local, svg)


def _mark(spec: dict[str, Any], colours: Any) -> str:
    """Return the comment that tells from what a static chart was drawn."""
    made_of = [spec, palette.static_config(colours), WIDTH, version("vl-convert-python")]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"<!-- drawn from {digest} -->"


def _is_drawn(path: Path, mark: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8").rstrip().endswith(mark)


def _size(path: Path) -> tuple[int, int]:
    found = _SIZE.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path} is not an SVG with a size")
    return int(found[1]), int(found[2])
