"""Clusters of dask.distributed: one is started here, or one is joined. Knows nothing of tasks."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from compute.engine.executors import ONE_THREAD, Stopped
from compute.errors import UsageError

PATIENCE = 60.0
"""Seconds in which a fitting worker should appear; DASK_RECOUNT__PATIENCE sets it otherwise, as "30 min"."""


def prepare() -> None:
    """Import distributed, without its log unless that is configured; UsageError if it is not installed."""
    try:
        import distributed  # noqa: F401 - its import sets the log up
    except ImportError as error:
        raise UsageError(f"dask is not installed ({error}): pip install -e '.[dask]'") from error
    if _silent():
        for name in ("distributed", "tornado", *logging.root.manager.loggerDict):
            if name.partition(".")[0] in ("distributed", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)


def _silent() -> bool:
    """Whether nobody asked for dask's log, as by DASK_LOGGING__DISTRIBUTED=info."""
    return not any(name.startswith("DASK_LOGGING") for name in os.environ)


def patience() -> float:
    """Return for how many seconds a task waits for a worker that can take it."""
    import dask

    return float(dask.utils.parse_timedelta(dask.config.get("recount.patience", PATIENCE)))


def start(jobs: int) -> Any:
    """Start a scheduler and *jobs* workers of one thread, which only this machine can reach."""
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        return LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,  # none: a share of this machine's is less than one big cell may need
            silence_logs=logging.CRITICAL if _silent() else False,
            env={**ONE_THREAD, "TOKENIZERS_PARALLELISM": "false"},
        )


def connect(scheduler: Any) -> Any:
    """Connect to a cluster, an address or a scheduler file; UsageError if it is none, Stopped if nothing answers."""
    from distributed import Client

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions there: what counts is the code, which is compared
            return Client(**_place(scheduler), set_as_default=False, timeout=10)
    except OSError as error:
        raise Stopped(
            f"no scheduler answers at {scheduler}: start one by `dask scheduler`, or correct the address"
        ) from error


def _place(scheduler: Any) -> dict[str, Any]:
    """Say which a scheduler is, before a client is made: one that fails half-way is noisy."""
    from distributed.comm import get_address_host_port, normalize_address

    if isinstance(scheduler, str) and Path(scheduler).is_file():
        return {"scheduler_file": scheduler}
    if isinstance(scheduler, str):
        try:
            get_address_host_port(normalize_address(scheduler))
        except ValueError as error:
            raise UsageError(
                f"--scheduler {scheduler}: neither an address, as tcp://host:8786, nor a scheduler file ({error})"
            ) from error
    return {"address": scheduler}


def end(cluster: Any) -> None:
    """End the workers of a cluster of ours at once, then its scheduler."""
    for nanny in list(cluster.workers.values()):
        nanny.close_gracefully(reason="done")
        with suppress(Exception):
            os.kill(nanny.pid, signal.SIGKILL)
    with suppress(Exception):
        cluster.close(timeout=5)
