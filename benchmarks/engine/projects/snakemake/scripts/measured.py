import json
from pathlib import Path

import helper
import tally


def measured(value: int) -> int:
    # A remark that the benchmark edits: 0
    tally.count("measured")
    offset = 1
    return helper.measure(value) + offset


Path(snakemake.output[0]).write_text(json.dumps(measured(snakemake.params.value)))  # noqa: F821 - given to scripts by Snakemake
