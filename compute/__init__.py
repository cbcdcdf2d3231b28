"""Recount: experiment configurations in, a living and reproducible report site out."""

import time

STARTED = time.time()
"""Seconds since the epoch: whatever this process has imported of the project, it has read since then."""
