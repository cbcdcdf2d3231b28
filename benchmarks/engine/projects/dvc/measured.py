"""python measured.py NAME VALUE"""

import json
import sys
from pathlib import Path

import helper
import tally


def measured(value: int) -> int:
    # A remark that the benchmark edits: 0
    tally.count("measured")
    offset = 1
    return helper.measure(value) + offset


_, name, value = sys.argv
Path("out").mkdir(exist_ok=True)
Path(f"out/{name}.json").write_text(json.dumps(measured(int(value))))
