"""Reads sources chunk by chunk, in threads, as one merge sees them. Knows no merge method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.merging import grid
from compute.merging.arrays import Array, Backend
from compute.merging.dare import Dare, norm_factors
from compute.merging.grid import Place
from compute.weights.weights import TensorInfo, Weights

T = TypeVar("T")
Floats = NDArray[Any]

Remember = Callable[[Sequence[str], object, Callable[[], Floats]], Floats]
"""Gives what was worked out for the named sources [N] under a description, or works it out and remembers it."""


def forget(sources: Sequence[str], what: object, work: Callable[[], Floats]) -> Floats:
    """Work it out anew: remember nothing."""
    return work()


@dataclass(frozen=True)
class Sources:
    """What is merged: the base (None where it plays no part) and the experts by name, in order."""

    base: Weights | None
    experts: Mapping[str, Weights]
    extras: Mapping[str, Mapping[str, Weights]]
    """What else there is for each entry of each expert, such as its Fisher information."""

    def read(self, place: Place, precision: Any) -> Floats:
        """Return the experts' entries [N, n] at *place*."""
        return _read(self.experts, place, precision)

    def read_base(self, place: Place, precision: Any) -> Floats:
        """Return the base's entries [n] at *place*; zeros without a base."""
        if self.base is None:
            return np.zeros(place.size, dtype=precision)
        row: Floats = _read({"": self.base}, place, precision)[0]
        return row

    def check_finite(self, values: Floats, place: Place) -> None:
        """Raise UsageError for numbers that a ranking would silently misplace, in *values* read at *place*.

        The difference of two numbers is finite only if both are: one look at the task vectors sees the base too.
        """
        if np.isfinite(values).all():
            return
        for name, each in {**self.experts, "": self.base}.items():
            if each and not np.isfinite(_read({name: each}, place, values.dtype)).all():
                whose = f"expert {name}" if name else "the base"
                raise UsageError(f"tensor {place.tensor.name} of {whose} has infinite or missing numbers")
        raise UsageError(f"tensor {place.tensor.name}: an expert and the base are too far apart for {values.dtype}")


class Workers:
    """Does work at many places at once, in threads, and where the arithmetic happens."""

    def __init__(self, backend: Backend, pool: ThreadPoolExecutor | None, entries: int) -> None:
        self.backend = backend
        self.entries = entries
        self._pool = pool

    def map(self, work: Callable[[Place], T], places: Iterable[Place]) -> Iterable[T]:
        """Do *work* at all *places* and give the results in their order."""
        return self._pool.map(work, places) if self._pool else map(work, places)

    def places(self, tensors: Iterable[TensorInfo], sources: int) -> list[Place]:
        """Cut *tensors* into the chunks that are read at once from that many *sources*."""
        return [place for tensor in tensors for place in grid.places(tensor, self.entries // max(1, sources))]


class Stream:
    """The sources as one merge sees them: task vectors (or weights, where it needs no base), after DARE."""

    def __init__(
        self, sources: Sources, workers: Workers, *, relative: bool, dare: Dare | None = None, seed: int = 0
    ) -> None:
        self.sources = sources
        self.workers = workers
        self.relative = relative
        self._dare = dare
        self._seed = seed
        self._factors: dict[str, Floats] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Name the sources, in order."""
        return tuple(self.sources.experts)

    @property
    def description(self) -> object:
        """Say, as plain data, what the merge sees of a source, beyond its files."""
        return [self.relative, self._dare and dataclasses.astuple(self._dare)]

    def places(self, tensors: Iterable[TensorInfo]) -> list[Place]:
        """Cut *tensors* into the chunks that are read at once."""
        return self.workers.places(tensors, len(self.names))

    def chunk(self, place: Place, precision: Any) -> Array:
        """Read what the merge sees of the sources [N, rows, columns] at *place*."""
        experts = self.sources.read(place, precision)
        return self.seen(experts, self.sources.read_base(place, precision) if self.relative else None, place)

    def seen(self, experts: Floats, base: Floats | None, place: Place) -> Array:
        """Turn the *experts*' entries [N, n], which may be changed, into what the merge sees: [N, rows, columns]."""
        values = self._raw(experts, base, place)
        if self._dare is None:
            return values
        return self._dare.apply(values, place, self.names, self._factors.get(place.tensor.name))

    def _raw(self, experts: Floats, base: Floats | None, place: Place) -> Array:
        if base is not None:
            experts -= base
        self.sources.check_finite(experts, place)
        return self.workers.backend.bring(experts).reshape((len(experts), place.rows, place.tensor.columns))

    def prepare(self, tensor: TensorInfo, precision: Any, remember: Remember) -> None:
        """Learn what DARE must know of a whole *tensor* before its first chunk; not from within a worker."""
        if self._dare is None or self._dare.rescale != "norm":
            return
        dare = self._dare

        def sums(place: Place) -> Floats:
            base = self.sources.read_base(place, precision) if self.relative else None
            return dare.magnitudes(self._raw(self.sources.read(place, precision), base, place), place, self.names)

        what = ["norm", tensor.name, str(np.dtype(precision)), self.description]
        self._factors[tensor.name] = remember(
            self.names, what, lambda: norm_factors(*self._total(sums, self.places([tensor])))
        )

    def sum(
        self,
        function: Callable[..., Floats],
        tensors: Sequence[TensorInfo],
        precision: Any,
        extras: Sequence[str] = (),
    ) -> Floats:
        """Add up *function* of all grains [N, rows, columns] of *tensors*, in float64, in an order of its own.

        After the grain it gets the *extras* of the same entries.
        """

        def read(place: Place) -> list[Array]:
            return [self.chunk(place, precision), *(self.extra(name, place, precision) for name in extras)]

        places = self.places(sorted(tensors, key=lambda tensor: tensor.name))
        return self._total(lambda place: _by_grain(function, *read(place)), places)

    def _total(self, parts: Callable[[Place], Floats], places: list[Place]) -> Floats:
        total: Floats = np.concatenate(list(self.workers.map(parts, places))).sum(axis=0)
        return total

    def extra(self, name: str, place: Place, precision: Any) -> Array:
        """Return what else there is for each entry of each source at *place*: [N, rows, columns]."""
        rows = self._lots(place, precision) if name == "lots" else self._of(name, place, precision)
        return self.workers.backend.bring(rows).reshape((len(rows), place.rows, place.tensor.columns))

    def _of(self, name: str, place: Place, precision: Any) -> Floats:
        by_source = self.sources.extras[name]
        found = _read({source: by_source[source] for source in self.names}, place, precision)
        for source, row in zip(self.names, found, strict=True):
            if not ((row >= 0) & (row < np.inf)).all():
                raise UsageError(
                    f"the {name} information of expert {source} for {place.tensor.name} has negative, infinite or"
                    " missing numbers: compute it anew"
                )
        return found

    def _lots(self, place: Place, precision: Any) -> Floats:
        from compute.merging.lots import lots, stream

        rows = np.empty((len(self.names), place.size), dtype=np.float32)
        for row, source in zip(rows, self.names, strict=True):
            lots(stream(self._seed, source, place.tensor.name), place.start, row)
        return rows.astype(precision, copy=False)


def _read(weights: Mapping[str, Weights], place: Place, precision: Any) -> Floats:
    """Return the entries [N, n] of all *weights* at *place*."""
    rows: Floats = np.empty((len(weights), place.size), dtype=precision)
    for row, each in zip(rows, weights.values(), strict=True):
        each.read(place.tensor.name, place.start, row)
    return rows


def _by_grain(function: Callable[..., Floats], *chunks: Array) -> Floats:
    """Return *function* of each grain of *chunks* [N, rows, columns]: [grains, …]. Each is copied to lie alike in
    memory.
    """
    _, rows, columns = chunks[0].shape
    step = grid.grain_rows(columns)
    grains = ([_contiguous(chunk[:, row : row + step]) for chunk in chunks] for row in range(0, rows, step))
    return np.stack([np.asarray(function(*grain), dtype=np.float64) for grain in grains])


def _contiguous(grain: Array) -> Array:
    return np.ascontiguousarray(grain) if isinstance(grain, np.ndarray) else grain.contiguous()
