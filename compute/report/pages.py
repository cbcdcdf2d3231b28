"""Writes the pages: a study's report with its charts, tables and downloads, its cells, and the index of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.report import boxes, cells, drawing, reference, study_tables, tables
from compute.report import files as generated
from compute.report.absence import counted, worst
from compute.report.assemble import Assembler, call
from compute.report.jinja import environment
from compute.report.known import Known
from compute.report.verdicts import judge, share
from compute.study import Column

if TYPE_CHECKING:
    from compute.engine.build import Results
    from compute.engine.code import Code
    from compute.engine.store import Store
    from compute.session import Opened


IMPLIED = (
    Column("statement", "Statement"),
    Column("stated", "As stated"),
    Column("implied", "Recomputed"),
    Column("follows", "Follows", "bool"),
)


@dataclass(frozen=True)
class Outcome:
    """What writing pages did."""

    changed: int
    manifest: dict[str, str]
    summary: dict[str, Any]


def write_study(
    root: Path, store: Store, code: Code, opened: Opened, results: Results, former: Mapping[str, str]
) -> Outcome:
    """Write everything of one study under docs/studies/<slug>/."""
    known = Known(store, code, opened, results)
    page = StudyPage(root, known, generated.Written(root / "docs", former))
    page.write("index.md", page.text())
    for name, content in cells.pages(root, known).items():
        page.write(f"cells/{name}", content)
    removed = page.written.remove_stale()
    return Outcome(page.changed + len(removed), page.written.manifest, page.summary())


def write_index(root: Path, summaries: Mapping[str, Any], former: Mapping[str, str]) -> Outcome:
    """Write the index of all studies."""
    written = generated.Written(root / "docs", former)
    index = environment(root).get_template("index.md.j2").render(studies=summaries)
    changed = int(written.write("studies/index.md", index))
    return Outcome(changed + len(written.remove_stale()), written.manifest, {})


def write_reference(root: Path, former: Mapping[str, str]) -> Outcome:
    """Write what follows the package alone: the reference pages, and the assets that all pages use."""
    written = generated.Written(root / "docs", former)
    changed = 0
    for name, text in reference.pages(root).items():
        changed += written.write(f"reference/{name}", text)
    for path, fresh in generated.copy_assets(root).items():
        changed += fresh
        written.add(path)
    return Outcome(changed + len(written.remove_stale()), written.manifest, {})


class StudyPage:
    """One study's report while it is written: what templates may ask for."""

    def __init__(self, root: Path, known: Known, written: generated.Written) -> None:
        self.root = root
        self.known = known
        self.opened = opened = known.opened
        self.written = written
        self.folder = f"studies/{opened.study.slug}"
        self.changed = 0
        assembler = Assembler(known.store, known.results, known.absences)
        self.assembled = {name: assembler.assemble(rows) for name, rows in opened.results.items()}
        self.published = opened.study.published()
        self.claims = {item.name: judge(item, self.assembled, opened.study.tables) for item in opened.study.claims}
        self.boxes = boxes.Boxes(environment(root).get_template("macros.md.j2").module, opened)

    def write(self, name: str, data: str | bytes) -> None:
        """Write one file of the study, and count it if it changed."""
        self.changed += self.written.write(f"{self.folder}/{name}", data)

    def text(self) -> str:
        """Write the report; where its own template cannot do without what is absent, in a plain form."""
        made, context = environment(self.root, self.opened.study.folder), self.context()
        try:
            return made.get_template("report.md.j2").render(context)
        except Exception as error:  # it was written for whole results, and these may not be
            if not self.known.absent:
                raise
            text = f"{counted(self.known.absent)} of {len(self.opened.cells)} results, and without them {error!r}"
            why = self.boxes.note("The report cannot be written as its author meant it", text)
            return made.get_template("partial.md.j2").render(**context, why=why)

    def context(self) -> dict[str, Any]:
        """Return what templates see."""
        study = self.opened.study
        return {
            "study": study,
            "profile": self.opened.profile,
            "config": self.opened.config,
            "results": self.assembled,
            "published": self.published,
            "claims": self.claims,
            "implied": self._implied(),
            "table": self.table,
            "chart": self.chart,
            "summary": self.summary(),
            "command": cells.command(self.opened),
            "problems": self.boxes.of(self.known.absent),
            "provenance": cells.overview(self.known),
            "configuration": cells.configuration(self.opened),
        }

    def summary(self) -> dict[str, Any]:
        """Return what the index says of the study."""
        study, count = self.opened.study, len(self.opened.cells)
        absent = self.known.absent
        verdicts = [item.verdict for item in self.claims.values()]
        return {
            "title": study.title,
            "summary": study.summary,
            "slug": study.slug,
            "profile": self.opened.profile,
            "cells": count,
            "fresh": count - len(absent),
            "state": worst(absent),
            "verdicts": {word: verdicts.count(word) for word in ("holds", "does not hold", "cannot be told")},
            "claims": {
                name: {"verdict": item.verdict, "measured": item.measured} for name, item in self.claims.items()
            },
        }

    def table(self, name: str) -> str:
        """Write a table's CSV, and its JSON where that is wanted; return its markup, with a box for what is lacking."""
        table = next(item for item in self.opened.study.tables if item.name == name)
        shown = study_tables.of_study(table, self.assembled[table.rows], self.published, cells.link)
        self.write(f"data/{name}.csv", shown.csv)
        if table.json:
            rows = [dict(row.values) for row in self.assembled[table.rows].rows if row.values]
            self.write(f"data/{name}.json", json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        return self.boxes.of(self.assembled[table.rows].absent) + shown.html

    def chart(self, name: str) -> str:
        """Draw a figure of the rows that lack nothing; return its markup, with boxes for what is lacking."""
        figure = next(item for item in self.opened.study.figures if item.name == name)
        needed = [self.assembled[need] for need in figure.needs]
        lacking = share(needed)
        if any(item.frame.empty for item in needed):
            return self.boxes.note(figure.caption, f"not drawn: {lacking or 'there are no rows'}")
        try:
            chart = call(figure, self.assembled)
        except Exception as error:
            if not lacking:
                raise
            return self.boxes.note(figure.caption, f"not drawn: {lacking}, and without them {error!r}")
        folder = self.written.folder / self.folder / "charts"
        drawn = drawing.write(chart, folder, name)
        for path in drawn.paths:
            self.written.add(path)
        shown = drawing.Figure(files=drawn, caption=figure.caption, base="charts/")
        partial = (
            self.boxes.note("The figure below shows only a part", f"{lacking}: the rest is drawn") if lacking else ""
        )
        return partial + self.boxes.chart(shown)

    def _implied(self) -> str:
        """Write the table of what the published numbers imply."""
        rows = self.opened.study.implied(self.published)
        shown = tables.Table(key="implied", columns=IMPLIED, rows=rows, caption="What the published numbers imply")
        return shown.html if rows else ""
