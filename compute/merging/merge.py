"""Merges experts, chunk by chunk, from where their weights lie to where the result goes. Knows no architecture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from compute.errors import UsageError
from compute.merging import grid
from compute.merging.arrays import Array, Merged, backend
from compute.merging.fit import check_fits
from compute.merging.grid import Place
from compute.merging.method import MethodInfo
from compute.merging.recipe import Part, Recipe
from compute.merging.stream import Remember, Sources, Stream, Workers, forget
from compute.merging.vectors import TaskVectors
from compute.weights.memory import InMemory, MemorySink
from compute.weights.weights import Sink, TensorInfo, Weights


@dataclass(frozen=True)
class Job:
    """A recipe, where its result goes, and what it needs to know from data (see compute.merging.method)."""

    recipe: Recipe
    sink: Sink
    data: Mapping[str, Any]


def merge(
    base: Mapping[str, Any],
    experts: Mapping[str, Mapping[str, Any]],
    recipe: Recipe,
    *,
    data: Mapping[str, Any] | None = None,
    device: str = "cpu",
    remember: Remember = forget,
) -> dict[str, Any]:
    """Merge *experts* (name to state dict of torch tensors) on *base* by *recipe*; return a state dict like the base's.

    What is in *data* by expert and entry, such as Fisher information, comes as state dicts too. *remember* keeps
    thresholds from one merge to the next.
    """
    whole = InMemory(base)
    sink = MemorySink(whole.tensors().values())
    given = dict(data or {})
    if "fisher" in given:
        given["fisher"] = {name: InMemory(each) for name, each in given["fisher"].items()}
    merge_weights(whole, {name: InMemory(expert) for name, expert in experts.items()}, [Job(recipe, sink, given)],
                  device=device, threads=1, remember=remember)  # fmt: skip
    return sink.torch()


def merge_weights(
    base: Weights | None,
    experts: Mapping[str, Weights],
    jobs: Sequence[Job],
    *,
    device: str = "cpu",
    threads: int | None = None,
    entries: int = grid.CHUNK,
    remember: Remember = forget,
) -> None:
    """Merge *experts* on *base* by the recipe of every job, all from one reading, and write to their sinks.

    Task vectors (expert minus base) are taken and merged in fp32 (fp64 for fp64 tensors), whatever the types of the
    files; the sinks' tensors have their own types. Tensors that are not floating (counters, index buffers) are the
    base's, and the experts must have the same. Sinks are closed, if nothing fails. Pass a tied parameter once:
    under two names it would be ranked twice. *entries* bounds what is read at once, of all sources together; memory
    does not grow with their number. The result does not depend on it, on the number of *threads*, nor on the order
    of tensors. *remember* keeps thresholds from one merge to the next.

    Raises UsageError for experts that do not fit the base, and where a recipe needs a base or data that are not there.
    """
    infos = check_fits(base, experts)
    floating = [info for info in infos if info.floating and info.size]
    with _workers(device, threads, entries) as workers:
        runs = [_Run(job, base, experts, workers, floating, remember) for job in jobs]
        for info in floating:
            _merge_tensor(info, runs, workers)
    reference = base or next(iter(experts.values()))
    for job in jobs:
        for info in infos:
            if not info.floating:
                job.sink.put(info.name, reference.raw(info.name))
        job.sink.close()


@contextmanager
def _workers(device: str, threads: int | None, entries: int) -> Iterator[Workers]:
    count = threads or len(os.sched_getaffinity(0))
    if count == 1:
        yield Workers(backend(device), None, entries)
        return
    with ThreadPoolExecutor(count) as pool:
        yield Workers(backend(device), pool, entries)


class _Run:
    """One job under way: which method merges which tensor, and what it found by looking at the whole."""

    def __init__(
        self,
        job: Job,
        base: Weights | None,
        experts: Mapping[str, Weights],
        workers: Workers,
        tensors: list[TensorInfo],
        remember: Remember,
    ) -> None:
        self.recipe, self.sink, self._data, self._remember = job.recipe, job.sink, job.data, remember
        if len(experts) != len(self.recipe.coefficients):
            raise ValueError(f"{len(experts)} experts need as many coefficients, not {len(self.recipe.coefficients)}")
        if self.recipe.needs_base and base is None:
            raise UsageError(f"{self.recipe.method} merges what the experts learnt beyond a base model: name the base")
        extras = {name: job.data[name] for name in ("fisher",) if name in job.data}
        sources = Sources(base, experts, extras)
        self._streams = {
            relative: Stream(sources, workers, relative=relative, dare=self.recipe.dare, seed=self.recipe.seed)
            for relative in (False, True)
        }
        self.precision = np.float64 if any(tensor.dtype == "float64" for tensor in tensors) else np.float32
        names = [tensor.name for tensor in tensors]
        self._factors = self.recipe.lines.factors(names) if self.recipe.lines else {}
        self._parts: dict[str, Part] = {}
        self._merged: dict[str, Merged] = {}
        for part in self.recipe.parts(tensors):
            self._parts |= {tensor.name: part for tensor in part.tensors}
            if part.options.get("trim_scope", part.info.scope) == "model":
                self._look(part, part.tensors)

    def stream(self, tensor: TensorInfo) -> Stream:
        """Return how the method of *tensor* sees the sources."""
        return self._stream(self._parts[tensor.name])

    def _stream(self, part: Part) -> Stream:
        return self._streams[self.recipe.is_relative(part.info)]

    def look(self, tensor: TensorInfo) -> None:
        """Let the method look at the whole of *tensor*, unless it has looked at the whole model."""
        if tensor.name not in self._merged:
            self._look(self._parts[tensor.name], [tensor])

    def _look(self, part: Part, tensors: list[TensorInfo]) -> None:
        stream = self._stream(part)
        for tensor in tensors:
            stream.prepare(tensor, self.precision, self._remember)
        vectors = TaskVectors(stream, tensors, precision=self.precision, data=self._needed(part.info, stream.names),
                              remember=self._remember)  # fmt: skip
        merged = part.method(vectors, vectors.bring(self.recipe.coefficients), **part.options)
        self._merged |= merged if isinstance(merged, dict) else {tensor.name: merged for tensor in tensors}

    def _needed(self, info: MethodInfo, sources: Sequence[str]) -> Mapping[str, Any]:
        if missing := [name for name in info.data if name not in self._data]:
            raise UsageError(f"{info.name} needs {missing[0]} from data, which this merge does not have")
        for name in info.data:
            if name in info.extras and (lacking := [each for each in sources if each not in self._data[name]]):
                raise UsageError(f"{info.name} needs the {name} information of expert {lacking[0]}: "
                                 f"there is that of {', '.join(self._data[name])}")  # fmt: skip
        return self._data

    def merged(self, values: Array, place: Place) -> Array:
        """Return the merged chunk [rows, columns] of what the merge sees, *values* [N, rows, columns]."""
        how = self._merged[place.tensor.name]
        if not callable(how):
            result = how.reshape((place.tensor.rows, place.tensor.columns))[place.row : place.row + place.rows]
        else:
            stream, extras = self.stream(place.tensor), self._parts[place.tensor.name].info.extras
            result = how(values, *(stream.extra(name, place, self.precision) for name in extras))
        factor = self._factors.get(place.tensor.name, 1.0)
        return result if factor == 1.0 else factor * result

    def done(self, tensor: TensorInfo) -> None:
        """Forget what was computed for the whole of *tensor*."""
        del self._merged[tensor.name]


def _merge_tensor(info: TensorInfo, runs: list[_Run], workers: Workers) -> None:
    for run in runs:
        run.look(info)
    streams = [run.stream(info) for run in runs]
    sources, precision = streams[0].sources, runs[0].precision

    def work(place: Place) -> None:
        experts = sources.read(place, precision)
        base = sources.read_base(place, precision) if any(stream.relative for stream in streams) else None
        for number, (run, stream) in enumerate(zip(runs, streams, strict=True), 1):
            own = experts if number == len(runs) else experts.copy()
            from_base = base if stream.relative else None
            result = workers.backend.fetch(run.merged(stream.seen(own, from_base, place), place))
            values = result.reshape(-1).astype(precision, copy=False)
            run.sink.write(info.name, place.start, values if from_base is None else from_base + values)

    for _ in workers.map(work, streams[0].places([info])):
        pass
    for run in runs:
        run.done(info)
