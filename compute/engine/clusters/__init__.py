"""Cells on workers of dask.distributed."""
