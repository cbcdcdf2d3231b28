"""Sinks that look at what is written to another: count its bytes, or refuse what is no number. Knows no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.weights.dtypes import rounds_to_infinity
from compute.weights.weights import Sink, TensorInfo

Watch = Callable[[int], None]
"""Is told of bytes as they are written, from any thread."""


class Finite:
    """A sink that refuses what is infinite or no number once it has its tensor's dtype.

    Sources are looked at as they are read; this is what a large coefficient, or a narrow dtype, makes of them.
    """

    def __init__(self, sink: Sink, infos: Iterable[TensorInfo]) -> None:
        self._sink = sink
        self._dtypes = {info.name: info.dtype for info in infos}

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write entries; UsageError, naming the tensor, for one that does not stay finite."""
        if len(values):
            # A NaN is both the least and the largest; neither makes an array of the chunk's size.
            largest = float(np.maximum(values.max(), -values.min()))
            if not largest < rounds_to_infinity(self._dtypes[name]):
                raise UsageError(
                    f"tensor {name} of the result would have a number of magnitude {largest:.3g}, which"
                    f" {self._dtypes[name]} does not hold: lower the coefficients or the scale, or choose a wider dtype"
                )
        self._sink.write(name, start, values)

    def put(self, name: str, raw: NDArray[np.uint8]) -> None:
        """Write the bytes of a whole tensor."""
        self._sink.put(name, raw)

    def close(self) -> None:
        """Finish."""
        self._sink.close()


class Watched:
    """A sink that tells of the bytes it is given."""

    def __init__(self, sink: Sink, infos: Iterable[TensorInfo], watch: Watch) -> None:
        self._sink, self._watch = sink, watch
        self._width = {info.name: info.nbytes // max(1, info.size) for info in infos}

    def write(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Write entries."""
        self._sink.write(name, start, values)
        self._watch(len(values) * self._width[name])

    def put(self, name: str, raw: NDArray[np.uint8]) -> None:
        """Write the bytes of a whole tensor."""
        self._sink.put(name, raw)
        self._watch(len(raw))

    def close(self) -> None:
        """Finish."""
        self._sink.close()
