"""A small site made with the macros, charts and tables of the project, for the tests to look at."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from compute.report import charts
from compute.report.files import copy_assets
from compute.report.formats import percent, points
from compute.report.jinja import environment
from compute.report.tables import Table
from compute.study import Column

ROOT = Path(__file__).parents[2]
LOCALES = (
    "af-ZA sq-AL sw-KE vi-VN fr-FR de-DE tr-TR fi-FI cy-GB th-TH ja-JP ar-SA ca-ES el-GR".split()
)
METHODS = ("task arithmetic", "TIES", "DARE", "DARE + TIES")
TITLES = {"accuracy": "Accuracy", "low": "From", "high": "To", "method": "Method", "locale": "Target"}


def make_site(folder: Path) -> Path:
    """Lay out a project with ``mkdocs.yml`` and ``docs/`` in *folder*, and return the folder."""
    shutil.copy(ROOT / "mkdocs.yml", folder / "mkdocs.yml")
    shutil.copytree(ROOT / "templates", folder / "templates")
    copy_assets(folder)
    frame = results()
    figures = draw(frame, folder / "docs" / "studies" / "sample" / "charts")
    for template, page in PAGES.items():
        made = environment(folder).from_string('{% import "macros.md.j2" as ui %}\n' + template)
        path = folder / "docs" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.render(figures=figures, **tables(frame)), encoding="utf-8")
    return folder


def results() -> pd.DataFrame:
    """Return the accuracies of four methods on fourteen targets, one of them missing."""
    rows = [
        {"locale": locale, "method": method, "accuracy": 0.7 + 0.15 * math.sin(3.1 * i) + 0.012 * j}
        for i, locale in enumerate(LOCALES)
        for j, method in enumerate(METHODS)
    ]
    frame = pd.DataFrame(rows)
    frame["low"], frame["high"] = frame["accuracy"] - 0.02, frame["accuracy"] + 0.02
    frame["gain"] = [0.02 * math.sin(1.7 * i) + 0.008 * (i % 4) for i in frame.index]
    frame.loc[5, ["accuracy", "low", "high", "gain"]] = float("nan")
    return frame


def draw(frame: pd.DataFrame, folder: Path) -> dict[str, charts.Figure]:
    """Write one chart of each shape, and return the figures."""
    some = frame[frame["locale"].isin(LOCALES[:4])]
    table = Table(key="dots-data", caption="Accuracies", columns=columns()[:3], rows=records(some)).html
    first: dict[str, Any] = {"titles": TITLES, "number_format": ".0%"}
    shapes = {
        "dots": charts.dots_with_intervals(
            some, x="accuracy", low="low", high="high", y="locale", colour="method",
            title="Accuracy of the merged models", description="Accuracy of four methods on four targets.",
            reference=(0.71, "base model"), **first,
        ),
        "bars": charts.bars(
            frame[frame["method"] == "TIES"], x="gain", y="locale", title="Gain of TIES",
            description="Gain of TIES over task arithmetic on fourteen targets.", number_format="+.1%",
        ),
        "heatmap": charts.heatmap(
            frame, x="method", y="locale", value="accuracy", title="All accuracies",
            description="Accuracy of every method on every target.", titles=TITLES, number_format=".1%",
        ),
        "gains": charts.heatmap(
            matrix(), x="target", y="source", value="score", title="Transfer", middle=0.0,
            description="Gain on a target from the expert of a source.",
        ),
        "scatter": charts.scatter(
            frame, x="low", y="accuracy", colour="method", point="locale", trend=True,
            title="Two readings", description="The accuracies over their lower ends.", titles=TITLES,
        ),
        "lines": charts.lines(
            density(), x="density", y="accuracy", low="low", high="high", colour="method",
            title="Accuracy by density", description="Accuracy rises and falls with density.", titles=TITLES,
            reference=(0.66, "published"),
        ),
    }  # fmt: skip
    return {
        key: charts.Figure(
            files=charts.write(chart, folder, key),
            caption=f"{chart.description} Whiskers are 95 % intervals from a paired bootstrap over test items.",
            csv_href="tables/results.csv",
            table=table if key == "dots" else "",
        )
        for key, chart in shapes.items()
    }


def matrix(size: int = 40) -> pd.DataFrame:
    """Return a square matrix of scores around zero."""
    names = [f"{chr(97 + i // 6)}{chr(97 + i % 6)}-XX" for i in range(size)]
    return pd.DataFrame(
        [
            {"source": a, "target": b, "score": 0.2 * math.exp(-abs(i - j) / 6) - 0.07}
            for i, a in enumerate(names)
            for j, b in enumerate(names)
        ]
    )


def density() -> pd.DataFrame:
    """Return a curve for each of three methods, with its band."""
    rows = [
        {"method": method, "density": x / 10, "accuracy": 0.6 + 0.05 * i + 0.2 * x / 10 - 0.0015 * x * x}
        for i, method in enumerate(METHODS[:3])
        for x in range(1, 11)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(low=frame["accuracy"] - 0.015, high=frame["accuracy"] + 0.015)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each with its anchor and the address of its cell."""
    return [
        {**row, "id": f"k{i}", "href": f"cells/merge/#k{i}", "gain": row["gain"] * 100, "took": 0.2 + 7.3 * i,
         "size": 40_000 * (i + 1), "state": ("fresh", "stale", "failed", "blocked", "missing")[i % 5]}
        for i, row in enumerate(frame.to_dict("records"))
    ]  # fmt: skip


def columns() -> list[Column]:
    """Return columns of the kinds that reports use most."""
    return [
        Column(name="locale", title="Target", kind="locale"),
        Column(name="method", title="Method"),
        Column(name="accuracy", title="Accuracy", kind="percent", link="href", best="highest"),
        Column(name="gain", title="Gain", kind="points", note="Over task arithmetic"),
        Column(name="took", title="Time", kind="seconds"),
        Column(name="size", title="Size", kind="bytes"),
        Column(name="state", title="State", kind="state"),
    ]


def tables(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the tables and other values that the pages show."""
    rows = records(frame)
    caption = "Accuracy of every method on every target"
    cells = [Column(name="id", title="Cell", kind="code"), *columns()]
    unlinked = [{**row, "href": ""} for row in rows]
    return {
        "results": Table(key="results", caption=caption, columns=columns(), rows=rows, csv_href="tables/results.csv"),
        "cells": Table(key="cells", caption="Cells of merge", columns=cells, rows=unlinked, row_id="id"),
        "percent": percent,
        "points": points,
        "tiles": [
            {"label": "Mean accuracy, best method", "value": "73.61 %", "href": "cells/merge/#k3", "note": "TIES, density 0.2"},
            {"label": "Gain over task arithmetic", "value": "+0.86 pts", "note": "95 % interval +0.41 to +1.30", "kind": "good"},
            {"label": "Claims that hold", "value": "4 of 6", "kind": "accent"},
            {"label": "Cells to compute", "value": "2 of 156", "note": "1 failed, 1 stale", "kind": "warn"},
        ],
        "claims": [
            {"sentence": "Merging without the target's own expert is better than the best single source.", "verdict": "holds"},
            {"sentence": "DARE with *sparse* deltas keeps the accuracy of the dense merge on every target.", "verdict": "does not hold"},
            {"sentence": "Typologically closer sources transfer better.", "verdict": "cannot be told"},
        ],
        "evidence": [
            {"label": "difference", "value": "+0.86 pts", "href": "cells/merge/#k3"},
            {"label": "95 % interval", "value": "+0.41 to +1.30 pts"},
            {"label": "targets", "value": "14"},
        ],
    }  # fmt: skip


PAGES = {
    """# Recount

Experiments on merging language models, told from their stored results.

{{ ui.cards([
  {"title": "Sample study", "href": "studies/sample/", "text": "Sources chosen by similarity, merged for targets that have no data of their own.", "badge": "4 of 6 claims hold", "kind": "good", "foot": "profile mini · 156 cells"},
  {"title": "Guide", "href": "guide/reading/", "text": "How a page of this site is read, and how each number leads to the computation that made it."},
]) }}

Every number is read from a result that was stored with its config, its code and its inputs. A number such as
{{ ui.number("66.54 %", "studies/sample/cells/merge/#k30") }} leads to the cell that it comes from.
""": "index.md",
    """# Reading a report

A report states its findings as claims. Each has a verdict: {{ ui.verdict("holds") }},
{{ ui.verdict("does not hold") }} or {{ ui.verdict("cannot be told") }}.

## Code

```python
from compute.report import charts

figure = charts.write(chart, folder, "accuracy")
```

!!! note "Intervals"
    All intervals are 95 % intervals. See [the sample](../studies/sample/index.md#claims).

| word | meaning |
|---|---|
| cell | a call that is computed at most once |
| trace | what a stored result was made under |
""": "guide/reading.md",
    """# Studies

- [Sample study](sample/index.md)
""": "studies/index.md",
    """# Merging for unseen languages

{{ ui.profile("mini") }} {{ ui.badge("fresh") }} {{ ui.badge("2 published tables", "plain") }}

Experts are trained on source locales and merged for a target that none of them has seen. The best method
reaches {{ ui.number("73.61 %", "cells/merge/#k3", "mean over 14 targets") }}, which is
{{ ui.number(points(0.86)) }} above task arithmetic.

{{ ui.tiles(tiles) }}

## Claims

{{ ui.claim(claims[0], evidence=evidence, source="Section 4.2, Table 3", key="excluded") }}

{{ ui.claim(claims[1], why="On 3 of 14 targets the interval lies below zero.") }}

{{ ui.claim(claims[2], why="Too few pairs at this size: 14, and 50 are needed.") }}

## Accuracy

{{ ui.chart(figures.dots) }}

{{ ui.table(results) }}

{{ ui.chart(figures.bars) }}

{{ ui.chart(figures.heatmap) }}

## Transfer

{{ ui.chart(figures.gains) }}

{{ ui.chart(figures.scatter) }}

{{ ui.chart(figures.lines) }}

## What is not as it should be

{{ ui.box("failed", "merge(sw-KE, DARE) failed twice", "ValueError: the density must lie above 0 and not above 1, found 1.2.", "python -m compute run merge --set density=0.9", "Traceback (most recent call last):\n  File \\"merge.py\\", line 12, in merge\n\n    <raise> ValueError(density)") }}

{{ ui.box("blocked", "evaluate(sw-KE, DARE) waits for merge(sw-KE, DARE)") }}

{{ ui.box("stale", "The numbers of this table were made by older code", "The last good values are shown.", "python -m compute build sample") }}

{{ ui.box("missing", "Not computed yet", "", "python -m compute build sample") }}

{{ ui.badge("fresh") }} {{ ui.badge("stale") }} {{ ui.badge("failed") }} {{ ui.badge("blocked") }} {{ ui.badge("missing") }} {{ ui.badge("running") }} {{ ui.badge("accepted") }} {{ ui.badge("any *word*", "warn") }}
""": "studies/sample/index.md",
    """# Cells of merge

{{ ui.table(cells) }}
""": "studies/sample/cells/merge.md",
}
