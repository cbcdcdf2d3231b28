from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compute.report import palette

ASSETS = Path(__file__).parents[2] / "templates" / "assets"
PALETTES = {"light": palette.LIGHT, "dark": palette.DARK}
ON = {
    "paper": ("ink", "muted", "accent", "good", "bad", "warn", "plain"),
    "panel": ("ink", "muted", "accent"),
    "accent-tint": ("ink", "accent"),
    "good-tint": ("ink", "good"),
    "bad-tint": ("ink", "bad"),
    "warn-tint": ("ink", "warn"),
    "plain-tint": ("ink", "plain"),
}

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as seen without L, M or S cones.
SEEN = {
    "usual": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
OKLAB = (
    np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]),
    np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]),
)


def linear(colour: str) -> NDArray[np.float64]:
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.asarray(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))


def contrast(one: str, other: str) -> float:
    light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def distance(one: str, other: str, seen: NDArray[np.float64]) -> float:
    first, second = (OKLAB[1] @ np.cbrt(OKLAB[0] @ np.clip(seen @ linear(c), 0, 1)) for c in (one, other))
    return float(np.linalg.norm(first - second))


def series(colours: Mapping[str, str]) -> list[str]:
    return [colours[f"series-{number}"] for number in range(1, 7)]


def test_both_palettes_name_the_same_colours() -> None:
    assert list(palette.LIGHT) == list(palette.DARK)


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_text_can_be_read_on_its_ground(colours: Mapping[str, str]) -> None:
    weak = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for ground, texts in ON.items()
        for text in texts
        if contrast(colours[text], colours[ground]) < 4.5
    }
    assert not weak


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_marks_and_edges_stand_out_from_the_paper(colours: Mapping[str, str]) -> None:
    for colour in [*series(colours), colours["edge"]]:
        assert contrast(colour, colours["paper"]) >= 3


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_no_two_series_look_alike_to_anybody(colours: Mapping[str, str], seen: NDArray[np.float64]) -> None:
    pairs = itertools.combinations(series(colours), 2)
    assert min(distance(one, other, seen) for one, other in pairs) > 0.085


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_the_colours_of_a_heatmap_run_steadily_away_from_the_paper(colours: Mapping[str, str]) -> None:
    for steps in (
        [f"heat-{n}" for n in range(1, 7)],
        ["middle", "above-1", "above-2", "above-3"],
        ["middle", "below-1", "below-2", "below-3"],
    ):
        away = [contrast(colours[name], colours["paper"]) for name in steps]
        assert away == sorted(away)


def test_the_style_sheet_names_only_colours_that_exist() -> None:
    named = set(re.findall(r"var\(--rc-([\w-]+)", (ASSETS / "report.css").read_text(encoding="utf-8")))
    own = set(re.findall(r"^\s*--rc-([\w-]+):", (ASSETS / "report.css").read_text(encoding="utf-8"), re.M))
    assert named - own - {"height"} <= set(palette.LIGHT)


def test_live_and_static_charts_have_one_style() -> None:
    live = json.loads(palette.live_config())
    filled = json.loads(re.sub(r"var\(--rc-([\w-]+)\)", lambda match: palette.DARK[match[1]], json.dumps(live)))
    assert filled == palette.static_config(palette.DARK)


def test_paper_shows_the_light_palette() -> None:
    light, dark = palette.css().split("@media screen")
    assert palette.LIGHT["ink"] in light
    assert palette.DARK["ink"] in dark
    assert "slate" not in light
