import json
from pathlib import Path

from steps import measured, summed

config = json.loads(Path("values.json").read_text())
cells = {name: measured(value) for name, value in config["values"].items()}
print(summed([summed([cells[name] for name in names]) for names in config["groups"].values()]))
