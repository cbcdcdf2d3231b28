"""The chart shapes of the house style: data frames in, Altair charts out; knows no study and no colour.

Every function takes a pandas frame and the names of its columns. The chart keeps the order of the rows, shows
the columns by their entries in *titles*, says in *description* what a reader who cannot see it needs to know,
writes numbers in a d3 format such as ``.0%``, and takes its colours from the page that it stands on. A
*reference* is a value with its name: a dashed line, such as the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compute.report import formats
from compute.report.drawing import ChartFiles, Figure, write
from compute.report.encodings import Fields, name

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

__all__ = ["ChartFiles", "Figure", "bars", "dots_with_intervals", "heatmap", "lines", "scatter", "write"]

_NONE: Mapping[str, str] = MappingProxyType({})
_WRITTEN_IN = 14
_LONGER_EDGE = 620


def dots_with_intervals(
    frame: pd.DataFrame,
    *,
    x: str,
    low: str,
    high: str,
    y: str,
    title: str,
    description: str,
    colour: str | None = None,
    titles: Mapping[str, str] = _NONE,
    number_format: str = ".0%",
    reference: tuple[float, str] | None = None,
) -> alt.LayerChart:
    """Draw an estimate *x* and its interval from *low* to *high* for each *y*, one row each.

    The values of *colour* stand one below another within a row and differ in shape, too.
    """
    import altair as alt

    fields = Fields(frame, titles)
    axis = {"number_format": number_format, "title": fields.title(x)}
    tooltip = fields.tooltip(**_texts(y, colour), **dict.fromkeys((x, low, high), number_format))
    base = alt.Chart(fields.data(x, low, high, y, colour)).encode(y=fields.rows(y), tooltip=tooltip)
    interval = base.mark_rule(style="interval", aria=False).encode(
        x=fields.number(alt.X, low, **axis), x2=alt.X2(field=name(high)), **fields.series(colour, offset=True)
    )
    dots = base.mark_point(style="halo").encode(
        x=fields.number(alt.X, x, **axis), **fields.series(colour, offset=True, shape=True)
    )
    layers = [*_reference(reference, "x"), interval, dots]
    return _finish(layers, title, description, fields.height(y, colour))


def bars(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    description: str,
    low: str | None = None,
    high: str | None = None,
    colour: str | None = None,
    titles: Mapping[str, str] = _NONE,
    number_format: str = ".0%",
    reference: tuple[float, str] | None = None,
) -> alt.LayerChart:
    """Draw a bar of length *x* from zero for each *y*, with a whisker if *low* and *high* are named."""
    import altair as alt

    fields = Fields(frame, titles)
    axis: dict[str, Any] = {"number_format": number_format, "title": fields.title(x), "zero": True}
    numbers = dict.fromkeys((column for column in (x, low, high) if column), number_format)
    tooltip = fields.tooltip(**_texts(y, colour), **numbers)
    base = alt.Chart(fields.data(x, y, low, high, colour)).encode(y=fields.rows(y), tooltip=tooltip)
    bar = base.mark_bar().encode(x=fields.number(alt.X, x, **axis), **fields.series(colour, offset=True))
    layers = [bar, *_reference(reference, "x")]
    if low and high:
        place = {key: value for key, value in fields.series(colour, offset=True).items() if key == "yOffset"}
        span = {"x": fields.number(alt.X, low, **axis), "x2": alt.X2(field=name(high))}
        layers.append(base.mark_rule(style="whisker", aria=False).encode(**span, **place))
    return _finish(layers, title, description, fields.height(y, colour))


def heatmap(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    title: str,
    description: str,
    titles: Mapping[str, str] = _NONE,
    number_format: str = ".0%",
    middle: float | None = None,
    domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """Draw a matrix: one rectangle for each *x* and *y*, as strong in colour as its *value*.

    With *middle*, such as 0 for gains, the colours run two ways from it. *domain* is the range of values that
    the colours span, for matrices to be compared. Missing values stay empty, and up to 14 columns have their
    values written in.
    """
    import altair as alt

    fields = Fields(frame, titles)
    span = _domain(fields, value, middle, domain)
    strong = [_is_strong(amount, *span, middle) for amount in frame[value]]
    base = alt.Chart(fields.data(x, y, value, strong=strong)).encode(**_matrix_axes(fields, x, y))
    tint = fields.tint(value, span, number_format, diverging=middle is not None)
    tooltip = fields.tooltip(**{y: None, x: None, value: number_format})
    cells = base.transform_filter("datum.strong !== null").mark_rect(aria=False)
    layers = [*_absent(base), cells.encode(color=tint, tooltip=tooltip)]
    columns, rows = len(fields.values(x)), len(fields.values(y))
    if columns <= _WRITTEN_IN:
        layers += _written(base, value, number_format)
    step = max(13, min(34, round(_LONGER_EDGE / max(columns, rows))))
    return _finish(layers, title, description, step * rows)


def scatter(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    description: str,
    colour: str | None = None,
    point: str | None = None,
    titles: Mapping[str, str] = _NONE,
    x_format: str = ".2~f",
    number_format: str = ".0%",
    diagonal: bool = False,
    trend: bool = False,
) -> alt.LayerChart:
    """Draw a dot at *x*, *y* for each row; *point* is the column that tells in the tooltip which row it is.

    *diagonal* adds the line on which both are equal, *trend* the least-squares line.
    """
    import altair as alt

    fields = Fields(frame, titles)
    place = {
        "x": fields.number(alt.X, x, x_format, padding=12),
        "y": fields.number(alt.Y, y, number_format, padding=12),
    }
    tooltip = fields.tooltip(**_texts(point, colour), **{x: x_format, y: number_format})
    base = alt.Chart(fields.data(x, y, colour, point))
    layers = [_diagonal(fields, x, y)] if diagonal else []
    if trend:
        line = base.transform_regression(name(x), name(y)).mark_line(style="reference", aria=False)
        layers.append(line.encode(**place))
    dots = base.mark_point(style="halo").encode(**place, tooltip=tooltip, **fields.series(colour, shape=True))
    return _finish([*layers, dots], title, description, 360)


def lines(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    description: str,
    low: str | None = None,
    high: str | None = None,
    colour: str | None = None,
    titles: Mapping[str, str] = _NONE,
    x_format: str = "~g",
    number_format: str = ".0%",
    reference: tuple[float, str] | None = None,
) -> alt.LayerChart:
    """Draw *y* over a number *x*, a line for each value of *colour*, in a band from *low* to *high*."""
    import altair as alt

    fields = Fields(frame, titles)
    axis = {"number_format": number_format, "title": fields.title(y)}
    across = fields.number(alt.X, x, x_format, nice=False, padding=8)
    base = alt.Chart(fields.data(x, y, low, high, colour)).encode(x=across, **fields.series(colour))
    layers = _reference(reference, "y")
    if low and high:
        band = {"y": fields.number(alt.Y, low, **axis), "y2": alt.Y2(field=name(high))}
        layers.append(base.mark_area(opacity=0.14, aria=False).encode(**band))
    place = fields.number(alt.Y, y, **axis)
    tooltip = fields.tooltip(**_texts(colour), **{x: x_format, y: number_format})
    layers.append(base.mark_line().encode(y=place))
    layers.append(base.mark_point(style="halo").encode(y=place, tooltip=tooltip, **fields.series(colour, shape=True)))
    return _finish(layers, title, description, 320)


def _finish(layers: list[Any], title: str, description: str, height: int) -> alt.LayerChart:
    import altair as alt

    chart: Any = alt.layer(*layers)
    return chart.properties(title=title, description=description, width="container", height=height)


def _texts(*columns: str | None) -> dict[str, None]:
    return {column: None for column in columns if column}


def _reference(reference: tuple[float, str] | None, channel: str) -> list[Any]:
    """Return a dashed line across the other axis at a value of *channel*, with its name at the line's end."""
    import altair as alt

    if reference is None:
        return []
    value, label = reference
    base = alt.Chart(alt.InlineData(values=[{}]))
    at: dict[str, Any] = {"x": alt.XDatum(value)} if channel == "x" else {"y": alt.YDatum(value)}
    end: dict[str, Any] = {"y": alt.value(-6)} if channel == "x" else {"x": alt.value("width")}
    aim: dict[str, Any] = {"baseline": "bottom"} if channel == "x" else {"align": "right", "dy": -6}
    line = base.mark_rule(style="reference", aria=False).encode(**at)
    return [line, base.mark_text(style="note", **aim).encode(**at, **end, text=alt.value(label))]


def _diagonal(fields: Fields, x: str, y: str) -> alt.Chart:
    import altair as alt

    ends = [{"x": end, "y": end} for end in fields.extent(x, y)]
    line = alt.Chart(alt.InlineData(values=ends)).mark_line(style="reference", aria=False)
    return line.encode(x=alt.X("x", type="quantitative"), y=alt.Y("y", type="quantitative"))


def _matrix_axes(fields: Fields, x: str, y: str) -> dict[str, Any]:
    import altair as alt

    columns = fields.values(x)
    turned = sum(len(str(column)) for column in columns) > 70
    small = 10 if len(columns) > 30 or len(fields.values(y)) > 30 else 12
    across = alt.Axis(
        orient="top",
        labelAngle=-90 if turned else 0,
        labelFontSize=small,
        labelOverlap="greedy" if turned else False,
    )
    down = alt.Axis(labelFontSize=small)
    return {
        "x": alt.X(field=name(x), type="nominal", sort=columns, title=fields.title(x), axis=across),
        "y": alt.Y(field=name(y), type="nominal", sort=fields.values(y), title=fields.title(y), axis=down),
    }


def _domain(
    fields: Fields, value: str, middle: float | None, domain: tuple[float, float] | None
) -> tuple[float, float]:
    low, high = domain or fields.extent(value)
    if middle is None:
        return low, high
    reach = max(abs(low - middle), abs(high - middle))
    return middle - reach, middle + reach


def _absent(base: alt.Chart) -> list[alt.Chart]:
    """Return the empty rectangles of a matrix, each with a dash in it."""
    import altair as alt

    absent = base.transform_filter("datum.strong === null")
    dash = absent.mark_text(style="note", aria=False).encode(text=alt.value("–"))
    return [absent.mark_rect(style="absent", aria=False), dash]


def _is_strong(amount: object, low: float, high: float, middle: float | None) -> bool | None:
    """Tell whether the colour of *amount* asks for light writing on it; None if it is missing."""
    if formats.is_absent(amount):
        return None
    share = (float(amount) - low) / (high - low or 1.0)  # type: ignore[arg-type]  # any library's number
    return share > 0.53 if middle is None else abs(share - 0.5) > 0.31


def _written(base: alt.Chart, value: str, number_format: str) -> list[alt.Chart]:
    import altair as alt

    shown = alt.Text(field=name(value), type="quantitative", format=number_format)
    looks = {"on-high": "datum.strong === true", "on-low": "datum.strong === false"}
    return [
        base.transform_filter(wanted).mark_text(style=style, aria=False).encode(text=shown)
        for style, wanted in looks.items()
    ]
