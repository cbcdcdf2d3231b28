"""How a column of a data frame becomes an axis, a colour, a shape or a tooltip of a chart; knows no chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compute.report import formats

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
"""Shapes that go with the six colours, so that no reader depends on colour alone."""

ROW = 26
"""Height of a row of a chart in pixels."""

_ZERO_FREE: Mapping[str, object] = {"zero": False, "nice": True}


@dataclass(frozen=True)
class Fields:
    """The columns of *frame*, each known to the reader by its entry in *titles* or else by its own name."""

    frame: pd.DataFrame
    titles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an empty frame: no axis can be made of it."""
        if self.frame.empty:
            raise ValueError("a chart needs at least one row; show a box that says what is missing instead")

    def title(self, column: str) -> str:
        """Return how the reader knows *column*."""
        return self.titles.get(column, column.replace("_", " ").capitalize())

    def values(self, column: str) -> list[Any]:
        """Return the distinct values of *column* in the order of the rows."""
        return list(dict.fromkeys(self.frame[column].tolist()))

    def extent(self, *columns: str) -> tuple[float, float]:
        """Return the least and the greatest value of the numeric *columns*."""
        part = self.frame[list(columns)]
        return float(part.min().min()), float(part.max().max())

    def data(self, *columns: str | None, **more: list[Any]) -> alt.InlineData:
        """Return the named columns, and *more* lists, as the data of a chart; missing values are null."""
        import altair as alt

        wanted = list(dict.fromkeys(column for column in columns if column))
        records = self.frame[wanted].assign(**more).to_dict("records")
        return alt.InlineData(
            values=[{str(k): None if formats.is_absent(v) else v for k, v in row.items()} for row in records]
        )

    def number(self, channel: type[Any], column: str, number_format: str, *, title: str = "", **scale: Any) -> Any:
        """Return a numeric position on *channel*, `alt.X` or `alt.Y`, named *title* or as the column is."""
        import altair as alt

        return channel(
            field=name(column),
            type="quantitative",
            title=title or self.title(column),
            axis=alt.Axis(format=number_format, grid=True),
            scale=alt.Scale(**{**_ZERO_FREE, **scale}),
        )

    def rows(self, column: str) -> alt.Y:
        """Return one row for each value of *column*, in the order of the frame, without a title."""
        import altair as alt

        return alt.Y(field=name(column), type="nominal", sort=self.values(column), title=None)

    def series(self, column: str | None, *, offset: bool = False, shape: bool = False) -> dict[str, Any]:
        """Return what tells the values of *column* apart: colour, place within the row, shape."""
        import altair as alt

        if column is None:
            return {}
        values = self.values(column)
        same: dict[str, Any] = {"field": name(column), "type": "nominal", "title": self.title(column)}
        marks = alt.Scale(domain=values, range=[SHAPES[index % len(SHAPES)] for index in range(len(values))])
        channels: dict[str, Any] = {"color": alt.Color(**same, scale=alt.Scale(domain=values))}
        if offset:
            channels["yOffset"] = alt.YOffset(**same, sort=values)
        if shape:
            channels["shape"] = alt.Shape(**same, scale=marks)
        return channels

    def tint(self, column: str, span: tuple[float, float], number_format: str, *, diverging: bool) -> alt.Color:
        """Return a colour as strong as a number, over *span*, one way or two ways from its middle."""
        import altair as alt

        colours: Any = "diverging" if diverging else "heatmap"
        return alt.Color(
            field=name(column),
            type="quantitative",
            title=self.title(column),
            scale=alt.Scale(domain=list(span), range=colours, interpolate="lab", clamp=True),
            legend=alt.Legend(format=number_format, gradientLength=200),
        )

    def height(self, rows: str, colour: str | None) -> int:
        """Return the height of a chart of *rows*, each with the values of *colour* one below another."""
        lines = len(self.values(colour)) if colour else 1
        return round(len(self.values(rows)) * ROW * (1 + lines) / 2)

    def tooltip(self, **formats_by_column: str | None) -> list[alt.Tooltip]:
        """Return a tooltip with the given columns: a d3 format for each number, None for a text."""
        import altair as alt

        return [
            alt.Tooltip(
                field=name(column),
                type="nominal" if number_format is None else "quantitative",
                title=self.title(column),
                **({} if number_format is None else {"format": exact(number_format)}),
            )
            for column, number_format in formats_by_column.items()
        ]


def name(column: str) -> str:
    """Return *column* as Vega takes it: dots and brackets would otherwise mean a path into the row."""
    return re.sub(r"([.\[\]\\'\"])", r"\\\1", column)


def exact(number_format: str) -> str:
    """Return the format of a number in a tooltip: percentages have two decimals there."""
    return ".2%" if number_format.endswith("%") else number_format
