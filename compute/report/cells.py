"""The pages of a study's cells: one a cell function, with its code and all calls with config, inputs and record."""

from __future__ import annotations

import inspect
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compute.engine.cell import Cell, CellFunction
from compute.engine.privacy import redacted
from compute.engine.record import Record, readable
from compute.report.jinja import environment
from compute.report.known import LOOKS

if TYPE_CHECKING:
    from compute.report.known import Known
    from compute.session import Opened


_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def anchor(cell: Cell) -> str:
    """Return the identifier of a cell's row on its function's page."""
    return f"c-{cell.key[:12]}"


def link(cell: Cell, base: str = "cells/") -> str:
    """Return the address of a cell's row, from the study's page or with another *base*."""
    return f"{base}{cell.function.name}/#{anchor(cell)}"


def command(opened: Opened) -> str:
    """Return the command that builds a study as it is opened."""
    return _words(opened, "build", opened.study.slug)


def _words(opened: Opened, *words: str) -> str:
    changes = [part for change in opened.changes for part in ("--set", redacted(change))]
    return shlex.join(["python", "-m", "compute", *words, "--profile", opened.profile, *changes])


def pages(root: Path, known: Known) -> dict[str, str]:
    """Return the pages by file name, with the records of each function beside it as JSON."""
    template = environment(root).get_template("cells.md.j2")
    made: dict[str, str] = {}
    for function, cells in _by_function(known.opened.cells):
        records = known.records(cells)
        name = function.name
        made[f"{name}.md"] = template.render(
            study=known.opened.study,
            function=name,
            summary=inspect.getdoc(function.function) or "",
            source=inspect.getsource(function.function),
            code=known.code.parts(cells[0]),
            cells=[_cell(cell, known) for cell in cells],
            seconds=sum(record.cost.seconds for record in records),
        )
        made[f"{name}.json"] = json.dumps(_records(known, records), sort_keys=True, ensure_ascii=False, indent=0)
    made["index.md"] = environment(root).get_template("cells_index.md.j2").render(**overview(known))
    return made


def _records(known: Known, records: Sequence[Record]) -> list[dict[str, Any]]:
    verified = {key: asdict(found) for key, found in known.verified.items()}
    return [{**record.members(), "verified": verified.get(record.key)} for record in records]


def _by_function(cells: Sequence[Cell]) -> list[tuple[CellFunction, list[Cell]]]:
    found: dict[str, tuple[CellFunction, list[Cell]]] = {}
    for cell in cells:
        found.setdefault(cell.function.name, (cell.function, []))[1].append(cell)
    return list(found.values())


def _cell(cell: Cell, known: Known) -> dict[str, Any]:
    """Return what a page shows of one call."""
    verified = known.verified.get(cell.key)
    return {
        "anchor": anchor(cell),
        "name": redacted(cell.name),
        "state": known.absences.state(cell),
        "arguments": _plain(cell.arguments),
        "inputs": [{"name": redacted(item.name), "href": link(item, "../")} for item in cell.stored_inputs],
        "record": known.results.records.get(cell.key),
        "absent": known.absences.of(cell),
        "verified": verified,
        "look": LOOKS[verified.outcome] if verified else "",
        "key": cell.key,
        "again": _words(known.opened, "run", redacted(cell.name), "--study", known.opened.study.slug),
    }


def _plain(arguments: Mapping[str, object]) -> str:
    """Write the arguments that are not cells, as YAML."""
    found = {name: _without_cells(readable(value)) for name, value in arguments.items()}
    kept = {name: value for name, value in found.items() if value is not _NOTHING and value not in ({}, [])}
    return _yaml(kept, width=110) if kept else ""


_NOTHING = object()


def _without_cells(value: Any) -> Any:
    """Leave cells out, but for the arguments of those that are computed inside."""
    if isinstance(value, dict) and "cell" in value and "key" in value:
        return _without_cells(value["arguments"]) if "arguments" in value else _NOTHING
    if isinstance(value, dict):
        found = {name: _without_cells(item) for name, item in value.items()}
        return {name: item for name, item in found.items() if item is not _NOTHING}
    if isinstance(value, list):
        return [item for item in map(_without_cells, value) if item is not _NOTHING]
    return value


def overview(known: Known) -> dict[str, Any]:
    """Sum a study's cells up by function: how many, how long, how large; with what was verified and accepted."""
    records = known.records(known.opened.cells)
    return {
        "study": known.opened.study,
        "functions": [_function(function, cells, known) for function, cells in _by_function(known.opened.cells)],
        "newest": max(records, key=lambda record: record.when, default=None),
        "cells": len(known.opened.cells),
        "verification": known.verification(),
        "accepted": [{**item, "href": link(item["cell"])} for item in known.accepted()],
    }


def _function(function: CellFunction, cells: Sequence[Cell], known: Known) -> dict[str, Any]:
    records = known.records(cells)
    return {
        "function": function.name,
        "summary": (inspect.getdoc(function.function) or "").partition("\n")[0],
        "href": f"{function.name}/",
        "cells": len(cells),
        "fresh": len(records),
        "seconds": sum(record.cost.seconds for record in records),
        "cpu_seconds": sum(record.cost.cpu_seconds for record in records),
        "peak_memory": max((record.cost.peak_memory for record in records), default=0),
        "size": sum(record.size for record in records),
    }


def configuration(opened: Opened) -> str:
    """Write the config as YAML; of a data file only its name, for where it lies is nobody's business."""
    values = readable(opened.config)
    text = _yaml(values, width=100)
    data = values.get("data") if isinstance(values, dict) else None
    if isinstance(data, str) and os.sep in data and Path(data).exists():
        text = text.replace(data, Path(data).name)
    return text


def _yaml(data: Any, width: int) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)).strip()
