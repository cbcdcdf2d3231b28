"""The graph for Hamilton: one function a kind of node, a node a cell by @parameterize, values as inputs."""

import json
from pathlib import Path

import helper
import tally
from hamilton.function_modifiers import group, parameterize, source

CONFIG = json.loads(Path("values.json").read_text())


def _sum_of(names: list[str]) -> dict:
    return {"values": group(*(source(name) for name in names))}


@parameterize(**{name: {"value": source(f"value_{name}")} for name in CONFIG["values"]})
def measured(value: int) -> int:
    # A remark that the benchmark edits: 0
    tally.count("measured")
    offset = 1
    return helper.measure(value) + offset


@parameterize(**{name: _sum_of(names) for name, names in CONFIG["groups"].items()}, total=_sum_of(CONFIG["groups"]))
def summed(values: list[int]) -> int:
    tally.count("summed")
    return sum(values)
