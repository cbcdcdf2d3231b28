"""python summed.py OUTPUT INPUT..."""

import json
import sys
from pathlib import Path

import tally

_, target, *names = sys.argv
tally.count("summed")
total = sum(json.loads(Path(f"out/{name}.json").read_text()) for name in names)
Path(f"out/{target}.json").write_text(json.dumps(total))
