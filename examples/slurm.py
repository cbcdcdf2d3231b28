"""Runs a build whose cells are computed by SLURM jobs: python slurm.py build my-study --profile full."""

from __future__ import annotations

import os
import subprocess
import sys

from dask_jobqueue import SLURMCluster

WORKERS = 20


def start() -> SLURMCluster:
    """Start a scheduler here. Each job is one worker of one thread; edit this to what your cluster asks for."""
    return SLURMCluster(
        cores=1,
        processes=1,
        memory="16GB",
        walltime="04:00:00",
        queue=None,
        account=None,
        job_extra_directives=[],  # for a GPU: ["--gres=gpu:1"]
        worker_extra_args=["--lifetime", "230m", "--lifetime-stagger", "5m"],  # for a GPU also: "--resources", "gpu=1"
        python=sys.executable,
        scheduler_options={"dashboard_address": None},
    )


def main() -> int:
    """Run the command with workers that come and go with the work; return its exit code."""
    with start() as cluster:
        cluster.adapt(minimum=0, maximum=WORKERS)
        joined = ["--executor", "dask", "--scheduler", cluster.scheduler_address, "--jobs", str(WORKERS)]
        environment = {**os.environ, "DASK_RECOUNT__PATIENCE": "2 days"}  # jobs may wait long in a queue
        return subprocess.run([sys.executable, "-m", "compute", *sys.argv[1:], *joined], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
