"""The graph for doit: a task a cell, results in files, values as config of their tasks."""

import json
from pathlib import Path

import helper
import tally
from doit.tools import config_changed

CONFIG = json.loads(Path("values.json").read_text())
OUT = Path("out")


def measured(name: str, value: int) -> None:
    # A remark that the benchmark edits: 0
    tally.count("measured")
    offset = 1
    write(name, helper.measure(value) + offset)


def summed(name: str, names: list[str]) -> None:
    tally.count("summed")
    write(name, sum(json.loads(path(name).read_text()) for name in names))


def path(name: str) -> Path:
    return OUT / f"{name}.json"


def write(name: str, value: int) -> None:
    OUT.mkdir(exist_ok=True)
    path(name).write_text(json.dumps(value))


def task_measured():
    for name, value in CONFIG["values"].items():
        yield {
            "name": name,
            "actions": [(measured, [name, value])],
            "uptodate": [config_changed({"value": value})],
            "targets": [path(name)],
        }


def task_summed():
    for group, names in {**CONFIG["groups"], "total": list(CONFIG["groups"])}.items():
        yield {
            "name": group,
            "actions": [(summed, [group, names])],
            "file_dep": [path(name) for name in names],
            "targets": [path(group)],
        }
