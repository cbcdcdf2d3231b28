import json
from pathlib import Path

import tally

tally.count("summed")
total = sum(json.loads(Path(path).read_text()) for path in snakemake.input)  # noqa: F821 - given to scripts by Snakemake
Path(snakemake.output[0]).write_text(json.dumps(total))  # noqa: F821
