from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from compute.report import charts, drawing, palette
from compute.report.drawing import renumbered

ROOT = Path(__file__).parents[2]
FRAME = pd.DataFrame(
    {
        "locale": ["sw-KE", "sw-KE", "af-ZA", "af-ZA"],
        "method": ["TIES", "DARE", "TIES", "DARE"],
        "score": [0.61, 0.64, 0.72, math.nan],
        "low": [0.6, 0.62, 0.7, math.nan],
        "high": [0.63, 0.66, 0.74, math.nan],
        "density": [0.1, 0.1, 0.5, 0.5],
    }
)
TEXT: dict[str, Any] = {"title": "A title", "description": "What it shows."}
INTERVAL: dict[str, Any] = {"low": "low", "high": "high"}
SHAPES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "dots": lambda frame: charts.dots_with_intervals(
        frame, x="score", y="locale", colour="method", reference=(0.65, "base"), **INTERVAL, **TEXT
    ),
    "bars": lambda frame: charts.bars(frame, x="score", y="locale", colour="method", **INTERVAL, **TEXT),
    "heatmap": lambda frame: charts.heatmap(frame, x="method", y="locale", value="score", **TEXT),
    "gains": lambda frame: charts.heatmap(frame, x="method", y="locale", value="score", middle=0.65, **TEXT),
    "scatter": lambda frame: charts.scatter(
        frame, x="low", y="score", colour="method", point="locale", diagonal=True, trend=True, **TEXT
    ),
    "lines": lambda frame: charts.lines(
        frame, x="density", y="score", colour="method", reference=(0.65, "base"), **INTERVAL, **TEXT
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_drawn_in_both_palettes_and_as_png(shape: str, tmp_path: Path) -> None:
    files = charts.write(SHAPES[shape](FRAME), tmp_path, shape)
    spec, light, dark, png = files.paths
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files.names)
    assert "config" not in json.loads(spec.read_text(encoding="utf-8"))
    assert palette.LIGHT["paper"] in light.read_text(encoding="utf-8")
    assert palette.DARK["paper"] in dark.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert files.description == "What it shows."
    assert files.width > drawing.WIDTH
    assert files.height > 50


@pytest.mark.parametrize("shape", SHAPES)
def test_a_chart_names_no_colour_of_its_own(shape: str) -> None:
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb\(", json.dumps(SHAPES[shape](FRAME).to_dict()["layer"]))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_chart_holds_the_values_of_the_frame_unrounded_and_nothing_for_what_is_missing(shape: str) -> None:
    written = json.dumps(SHAPES[shape](FRAME).to_dict())
    assert "NaN" not in written
    assert {0.61, 0.64, 0.72} <= {float(number) for number in re.findall(r"\d+\.\d+", written)}


def test_the_rows_keep_the_order_of_the_frame() -> None:
    chart = SHAPES["dots"](FRAME).to_dict()
    assert chart["layer"][-1]["encoding"]["y"]["sort"] == ["sw-KE", "af-ZA"]


def test_the_same_chart_gives_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from test_report_charts import FRAME, SHAPES\n"
        "from compute.report import charts\n"
        "for shape in sys.argv[2:]: charts.write(SHAPES[shape](FRAME), Path(sys.argv[1]), shape)\n"
    )
    order = ["heatmap", "gains", "lines"]
    for name, shapes in {"one": order, "other": order[::-1]}.items():
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / name), *shapes],
            check=True,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(len(name))},
        )
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other"))
    assert len(one) == 12
    assert one == other


def test_ids_are_numbered_within_the_file_and_texts_are_left_alone() -> None:
    svg = '<g id="clip7"/><g clip-path="url(#clip7)"/><g id="gradient_9"/><use href="#gradient_9"/><text>clip7'
    assert renumbered(svg) == svg.replace('"clip7"', '"clip0"').replace("#clip7", "#clip0").replace("_9", "_1")


def test_a_chart_that_is_there_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = charts.write(SHAPES["bars"](FRAME), tmp_path, "bars")
    before = [path.stat().st_mtime_ns for path in files.paths]
    monkeypatch.setattr("vl_convert.vegalite_to_svg", None)
    assert charts.write(SHAPES["bars"](FRAME), tmp_path, "bars") == files
    assert [path.stat().st_mtime_ns for path in files.paths] == before


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_chart_that_lost_a_file_gets_it_back(lost: int, tmp_path: Path) -> None:
    files = charts.write(SHAPES["bars"](FRAME), tmp_path, "bars")
    content = files.paths[lost].read_bytes()
    files.paths[lost].unlink()
    charts.write(SHAPES["bars"](FRAME), tmp_path, "bars")
    assert files.paths[lost].read_bytes() == content


def test_a_changed_value_changes_the_drawing(tmp_path: Path) -> None:
    files = charts.write(SHAPES["bars"](FRAME), tmp_path, "bars")
    before = [path.read_bytes() for path in files.paths]
    charts.write(SHAPES["bars"](FRAME.assign(score=FRAME["score"] + 0.1)), tmp_path, "bars")
    assert all(path.read_bytes() != old for path, old in zip(files.paths, before, strict=True))


def test_a_chart_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chart bars has no description"):
        charts.write(SHAPES["bars"](FRAME).properties(description=""), tmp_path, "bars")


def test_a_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        SHAPES["bars"](FRAME.head(0))


def test_columns_whose_names_look_like_paths_are_taken_as_names(tmp_path: Path) -> None:
    frame = FRAME.rename(columns={"score": "score.mean", "locale": "the [target]"})
    chart = charts.bars(frame, x="score.mean", y="the [target]", **TEXT)
    svg = charts.write(chart, tmp_path, "bars").paths[1].read_text(encoding="utf-8")
    assert "sw-KE" in svg
    assert "undefined" not in svg


@pytest.mark.parametrize(("value", "strong"), [(0.1, False), (0.9, True), (math.nan, None)])
def test_writing_on_a_cell_is_light_where_its_colour_is_strong(value: float, strong: bool | None) -> None:
    assert charts._is_strong(value, 0.0, 1.0, None) is strong


@pytest.mark.parametrize(("value", "strong"), [(-1.0, True), (0.1, False), (1.0, True)])
def test_both_ends_of_a_scale_with_a_middle_are_strong(value: float, strong: bool) -> None:
    assert charts._is_strong(value, -1.0, 1.0, 0.0) is strong
