"""The colours of the site in both palettes and the house style of its charts; knows no page and no data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""Fonts of static charts: the first is built into the renderer, so that bytes are the same everywhere."""

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f6f8fa",
    "line": "#dfe4ea",
    "edge": "#858f9b",
    "ink": "#1a2028",
    "muted": "#55606c",
    "accent": "#1558ad",
    "accent-tint": "#e9f1fb",
    "good": "#14653f",
    "good-tint": "#e3f3ea",
    "bad": "#a32a17",
    "bad-tint": "#fcebe7",
    "warn": "#7a5200",
    "warn-tint": "#fbf0d7",
    "plain": "#4a5560",
    "plain-tint": "#edf0f3",
    "series-1": "#1b64c3",
    "series-2": "#d56627",
    "series-3": "#479b77",
    "series-4": "#a34f8a",
    "series-5": "#725a00",
    "series-6": "#3a4080",
    "heat-1": "#f0f4f9",
    "heat-2": "#c4d9ee",
    "heat-3": "#86b4dd",
    "heat-4": "#3d7dbe",
    "heat-5": "#1a5aa3",
    "heat-6": "#0a3166",
    "below-3": "#963c0d",
    "below-2": "#c06a30",
    "below-1": "#f2cfb4",
    "middle": "#f4f4f2",
    "above-1": "#bcd5ee",
    "above-2": "#4686c2",
    "above-3": "#124f9b",
}
"""Colours on white; every text colour has a contrast of at least 4.5 on the ground that it stands on."""

DARK: Mapping[str, str] = {
    "paper": "#14181e",
    "panel": "#1b2028",
    "line": "#2e3641",
    "edge": "#6f7b88",
    "ink": "#e4e9ef",
    "muted": "#9ba7b4",
    "accent": "#82bdf8",
    "accent-tint": "#1b2c40",
    "good": "#7bd3a3",
    "good-tint": "#16301f",
    "bad": "#ffa08c",
    "bad-tint": "#3d1e18",
    "warn": "#eec26a",
    "warn-tint": "#362a10",
    "plain": "#b4bfca",
    "plain-tint": "#272e37",
    "series-1": "#75b9fe",
    "series-2": "#dc6f3e",
    "series-3": "#37a984",
    "series-4": "#f688c3",
    "series-5": "#eabf70",
    "series-6": "#9c7ee2",
    "heat-1": "#1d2631",
    "heat-2": "#21405e",
    "heat-3": "#286295",
    "heat-4": "#4a8fce",
    "heat-5": "#88bdee",
    "heat-6": "#d6e9fc",
    "below-3": "#ffb48c",
    "below-2": "#b8643a",
    "below-1": "#6d4530",
    "middle": "#262c35",
    "above-1": "#2d4d70",
    "above-2": "#3f7fb9",
    "above-3": "#a9d4ff",
}
"""The same names on a dark ground."""


def css() -> str:
    """Return the style sheet that gives every colour to the pages as a custom property ``--rc-<name>``."""
    light = ":root,\n[data-md-color-scheme=default]" + _rule(LIGHT)
    dark = "@media screen {\n[data-md-color-scheme=slate]" + _rule(DARK) + "}\n"  # a page prints light
    return "/* Generated from compute/report/palette.py */\n" + light + dark


def _rule(colours: Mapping[str, str]) -> str:
    return " {\n" + "".join(f"  --rc-{name}: {value};\n" for name, value in colours.items()) + "}\n"


def live_config() -> str:
    """Return the chart style as JSON for the browser, where each colour is the name of a custom property."""
    return json.dumps(chart_config(lambda name: f"var(--rc-{name})"), indent=1, sort_keys=True) + "\n"


def static_config(colours: Mapping[str, str]) -> dict[str, object]:
    """Return the chart style with the given colours, `LIGHT` or `DARK`, filled in."""
    return chart_config(colours.__getitem__)


def chart_config(look: Callable[[str], str]) -> dict[str, object]:
    """Return the Vega-Lite config of the house style, asking *look* for each colour by name."""
    return {
        "background": look("paper"),
        "font": FONT,
        "padding": 4,
        "view": {"stroke": None, "continuousWidth": 640, "continuousHeight": 300},
        "range": _ranges(look),
        "style": _styles(look),
        **_guides(look),
        **_marks(look),
    }


def _guides(look: Callable[[str], str]) -> dict[str, object]:
    text = {"labelFontSize": 12, "titleFontSize": 12, "labelColor": look("muted"), "titleColor": look("ink")}
    axis = {"domainColor": look("edge"), "tickColor": look("edge"), "gridColor": look("line")}
    space = {"labelPadding": 6, "titlePadding": 10, "labelLimit": 170, "tickSize": 4, "titleFontWeight": 600}
    return {
        "axis": {**text, **axis, **space},
        "axisQuantitative": {"domain": False, "ticks": False, "tickCount": 6},
        "axisDiscrete": {"grid": False, "ticks": False, "domain": False},
        "legend": {
            **text,
            "orient": "top",
            "direction": "horizontal",
            "columns": 4,
            "columnPadding": 18,
            "symbolOpacity": 1,
            "symbolSize": 80,
            "gradientThickness": 10,
            "titleFontWeight": 600,
            "labelLimit": 220,
            "offset": 20,
        },
        "header": {**text, "titleFontWeight": 600, "labelFontWeight": 600},
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": look("ink"),
            "fontSize": 14,
            "fontWeight": 600,
            "offset": 14,
            "subtitleColor": look("muted"),
            "subtitleFontSize": 12,
            "subtitlePadding": 5,
        },
    }


def _marks(look: Callable[[str], str]) -> dict[str, object]:
    return {
        "mark": {"color": look("series-1")},
        "bar": {"cornerRadiusEnd": 2},
        "point": {"filled": True, "size": 70, "opacity": 1},
        "line": {"strokeWidth": 2},
        "rule": {"color": look("edge")},
        "text": {"color": look("ink"), "fontSize": 11},
    }


def _styles(look: Callable[[str], str]) -> dict[str, object]:
    """Return the named looks a mark asks for, so that a chart's own description holds no colour."""
    return {
        "reference": {"color": look("muted"), "strokeDash": [4, 3], "strokeWidth": 1.2},
        "interval": {"color": look("series-1"), "strokeWidth": 2, "opacity": 0.7},
        "whisker": {"color": look("ink"), "strokeWidth": 1.3},
        "halo": {"stroke": look("paper"), "strokeWidth": 1},
        "note": {"color": look("muted"), "fontSize": 11},
        "on-low": {"color": look("ink"), "fontSize": 11},
        "on-high": {"color": look("paper"), "fontSize": 11},
        "absent": {"color": look("panel"), "stroke": look("line"), "strokeWidth": 0.5},
    }


def _ranges(look: Callable[[str], str]) -> dict[str, object]:
    heat = [look(f"heat-{step}") for step in range(1, 7)]
    below = [look(f"below-{step}") for step in (3, 2, 1)]
    above = [look(f"above-{step}") for step in (1, 2, 3)]
    return {
        "category": [look(f"series-{number}") for number in range(1, 7)],
        "heatmap": heat,
        "ramp": heat[1:],
        "ordinal": heat[1:],
        "diverging": [*below, look("middle"), *above],
    }
