"""What a merge method sees of its sources: their task vectors over a scope. Knows no file and no method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.merging.arrays import Array, namespace
from compute.merging.grid import Place
from compute.merging.method import Extra, Over
from compute.merging.stream import Remember, Stream, forget
from compute.weights.weights import TensorInfo


class TaskVectors:
    """The task vectors (expert minus base) of N sources over a scope: one tensor, or all of a model.

    A method that needs no base sees the experts' weights in their place. Nothing is held in memory: each look
    at the whole scope is a pass over the files. All results are exact or do not depend on how the scope is
    cut and in which order its tensors come.
    """

    def __init__(
        self,
        stream: Stream,
        tensors: Sequence[TensorInfo],
        *,
        precision: Any = np.float32,
        data: Mapping[str, Any] | None = None,
        remember: Remember = forget,
    ) -> None:
        self.tensors = tuple(tensors)
        self.precision = precision
        self.data: Mapping[str, Any] = data or {}
        self._stream = stream
        self._remember = remember

    @property
    def sources(self) -> tuple[str, ...]:
        """Name the sources, in order."""
        return self._stream.names

    @property
    def size(self) -> int:
        """Count the entries of one source's task vector over the scope."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def tensor(self) -> TensorInfo:
        """Return the one tensor of the scope; ValueError if there are several."""
        (tensor,) = self.tensors
        return tensor

    def bring(self, numbers: Any) -> Array:
        """Return *numbers* as an array of the task vectors' kind, type and device."""
        return self._stream.workers.backend.bring(np.asarray(numbers, dtype=self.precision))

    def sum(self, function: Callable[..., Any], *, extras: Sequence[Extra] = ()) -> NDArray[Any]:
        """Add up *function* of the task vectors, a chunk [N, rows, columns] at a time, in float64.

        The function gives an array of any one shape for a chunk of any size. After the chunk it gets the *extras*.
        """
        return self._stream.sum(lambda *grains: self._fetched(function(*grains)), self.tensors, self.precision, extras)

    def gram(self) -> NDArray[Any]:
        """Return the inner products [N, N] of the task vectors, in float64."""
        return self.sum(_gram)

    def thresholds(self, density: float, *, over: Over = "all", one_more: bool = False) -> NDArray[Any]:
        """Return the magnitude [N] of the k-th largest entry of each source, exactly, k = max(1, int(density * n)).

        n counts *all* entries or those that are not zero; *one_more* adds one to k, as the code of TIES' authors
        does. All zeros at a density of 1, which keeps everything. Raises ValueError unless 0 < density <= 1.
        """
        if not 0 < density <= 1:
            raise ValueError(f"density is the share of entries kept, in (0, 1], not {density}")
        if density == 1:
            return np.zeros(len(self.sources), dtype=self.precision)

        def rank(total: int, nonzero: NDArray[np.int64]) -> NDArray[np.int64]:
            entries = np.full(len(nonzero), total) if over == "all" else nonzero
            return np.clip((density * entries).astype(np.int64) + one_more, 1, total)

        def work() -> NDArray[Any]:
            from compute.merging.quantiles import kth_largest

            return kth_largest(
                self._accumulate(_same), len(self.sources), self.precision, rank, of_magnitudes=True, size=self.size
            )

        names = sorted(tensor.name for tensor in self.tensors)
        what = [names, str(np.dtype(self.precision)), density, over, one_more, self._stream.description]
        return self._remember(self.sources, what, work)

    def kth_largest(
        self, score: Callable[[Array], Array], rank: Callable[[int, NDArray[np.int64]], NDArray[np.int64]]
    ) -> NDArray[Any]:
        """Return the entry [R] of the wanted *rank* among the scores of the scope, for each of R scores, exactly.

        *score* turns a chunk [N, rows, columns] into [R, …] of its type; *rank* is told how many entries there are and
        how many of each score are not zero [R], and gives ranks [R] from 1, the largest.
        """
        from compute.merging.quantiles import kth_largest

        probe = score(self._stream.chunk(self._stream.places(self.tensors)[0], self.precision))
        return kth_largest(self._accumulate(score), len(probe), self.precision, rank)

    def whole(self) -> Array:
        """Return the task vectors [N, *shape] of a scope of one tensor, all in memory."""
        chunks = [self._stream.chunk(place, self.precision) for place in self._stream.places([self.tensor])]
        return namespace(chunks[0]).concat(chunks, axis=1).reshape((len(self.sources), *self.tensor.shape))

    def wholes(self) -> dict[str, Array]:
        """Return the task vectors [N, *shape] of every tensor of the scope by name, all in memory."""
        return {
            tensor.name: TaskVectors(self._stream, [tensor], precision=self.precision).whole()
            for tensor in self.tensors
        }

    def base(self, name: str) -> Array:
        """Return the base's tensor *name* in its shape, in memory."""
        (tensor,) = (tensor for tensor in self.tensors if tensor.name == name)
        values = self._stream.sources.read_base(Place(tensor, 0, tensor.rows), self.precision)
        return self._stream.workers.backend.bring(values).reshape(tensor.shape)

    def _accumulate(self, score: Callable[[Array], Array]) -> Callable[..., NDArray[np.int64]]:
        """Return how to count over all chunks: integers, whose sum does not depend on the order."""

        def accumulate(count: Callable[[Array, NDArray[np.int64]], None], shape: tuple[int, ...]) -> NDArray[np.int64]:
            def work(place: Place) -> None:
                scores = score(self._stream.chunk(place, self.precision))
                count(scores.reshape((len(scores), -1)), counts.mine())

            counts = _Counts(shape)
            for _ in self._stream.workers.map(work, self._stream.places(self.tensors)):
                pass
            return counts.total()

        return accumulate

    def _fetched(self, values: Any) -> NDArray[Any]:
        return (
            np.asarray(values)
            if isinstance(values, (np.ndarray, float))
            else self._stream.workers.backend.fetch(values)
        )


class _Counts:
    """Counters of a thread's own, so that none waits for another."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        import threading

        self._shape = shape
        self._local = threading.local()
        self._all: list[NDArray[np.int64]] = []

    def mine(self) -> NDArray[np.int64]:
        """Return this thread's counters."""
        if not hasattr(self._local, "counts"):
            self._local.counts = np.zeros(self._shape, dtype=np.int64)
            self._all.append(self._local.counts)
        counts: NDArray[np.int64] = self._local.counts
        return counts

    def total(self) -> NDArray[np.int64]:
        """Return the sum over threads."""
        first, *others = self._all or [np.zeros(self._shape, dtype=np.int64)]
        for counts in others:
            first += counts
        return first


def _same(chunk: Array) -> Array:
    return chunk


def _gram(chunk: Array) -> Array:
    xp = namespace(chunk)
    rows = xp.astype(chunk, xp.float64).reshape((chunk.shape[0], -1))
    return rows @ rows.T
