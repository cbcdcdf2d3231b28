"""A small site made with the macros, charts and tables of the project, for the tests to look at."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from compute.report import charts
from compute.report.files import copy_assets, write_if_changed
from compute.report.formats import percent, points
from compute.report.jinja import environment
from compute.report.tables import Table
from compute.study import Column

ROOT = Path(__file__).parents[2]
LOCALES = [
    *("af-ZA", "sq-AL", "sw-KE", "vi-VN", "fr-FR", "de-DE", "tr-TR"),
    *("fi-FI", "cy-GB", "th-TH", "ja-JP", "ar-SA", "ca-ES", "el-GR"),
]
METHODS = ("task arithmetic", "TIES", "DARE", "DARE + TIES")
TITLES = {"accuracy": "Accuracy", "low": "From", "high": "To", "method": "Method", "locale": "Target"}


def make_project(folder: Path) -> None:
    """Lay out ``mkdocs.yml``, templates and assets in *folder*."""
    shutil.copy(ROOT / "mkdocs.yml", folder / "mkdocs.yml")
    shutil.copytree(ROOT / "templates", folder / "templates")
    copy_assets(folder)


def make_site(folder: Path) -> Path:
    """Lay out a project with ``mkdocs.yml`` and ``docs/`` in *folder*, and return the folder."""
    make_project(folder)
    frame = results()
    figures = draw(frame, folder / "docs" / "studies" / "sample" / "charts")
    pages = Path(__file__).parent / "sample"
    for page in sorted(path.relative_to(pages).as_posix() for path in pages.rglob("*.md.j2")):
        made = environment(folder, pages).get_template(page).render(figures=figures, **shown(frame))
        write_if_changed(folder / "docs" / page.removesuffix(".j2"), made)
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
            caption=f"{chart.description} Whiskers are 95 % intervals of a paired bootstrap over items.",
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
    states = ("fresh", "stale", "failed", "blocked", "missing")
    return [
        {
            **{str(name): value for name, value in row.items()},
            "id": f"k{i}",
            "href": f"cells/merge/#k{i}",
            "gain": row["gain"] * 100,
            "took": 0.2 + 7.3 * i,
            "size": 40_000 * (i + 1),
            "state": states[i % 5],
        }
        for i, row in enumerate(frame.to_dict("records"))
    ]


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


def shown(frame: pd.DataFrame) -> dict[str, Any]:
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
            tile("Mean accuracy, best method", "73.61 %", href="cells/merge/#k3", note="TIES, density 0.2"),
            tile("Gain over task arithmetic", "+0.86 pts", note="95 % interval +0.41 to +1.30", kind="good"),
            tile("Claims that hold", "4 of 6", kind="accent"),
            tile("Cells to compute", "2 of 156", note="1 failed, 1 stale", kind="warn"),
        ],
        "claims": [
            claim("Merging without the target's own expert beats the best single source.", "holds"),
            claim("DARE with *sparse* deltas keeps the accuracy of the dense merge.", "does not hold"),
            claim("Typologically closer sources transfer better.", "cannot be told"),
        ],
        "evidence": [
            {"label": "difference", "value": "+0.86 pts", "href": "cells/merge/#k3"},
            {"label": "95 % interval", "value": "+0.41 to +1.30 pts"},
            {
                "label": "by target",
                "value": "sq-AL: 4.0 points over selections, 1.0 over methods; fi-FI: 4.8 and 2.9",
            },
        ],
    }


def tile(label: str, value: str, **more: str) -> dict[str, str]:
    """Return a tile as the macro takes it."""
    return {"label": label, "value": value, **more}


def claim(sentence: str, verdict: str) -> dict[str, str]:
    """Return a claim as the macro takes it."""
    return {"sentence": sentence, "verdict": verdict}
