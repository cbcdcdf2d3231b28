"""Which entries of a sink's tensors are written, so that none is forgotten. Knows nothing of where they go."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from compute.weights.weights import TensorInfo


class Progress:
    """Counts written entries by tensor, from several threads."""

    def __init__(self, infos: Mapping[str, TensorInfo]) -> None:
        self._missing = {name: info.size for name, info in infos.items()}
        self._lock = Lock()
        self.finished = False

    def add(self, name: str, entries: int) -> None:
        """Note that *entries* more of a tensor were written; raises ValueError once finished."""
        with self._lock:
            if self.finished:
                raise ValueError(f"{name}: this sink is closed")
            self._missing[name] -= entries

    def finish(self) -> None:
        """Take no more; raises ValueError unless each entry was written once."""
        with self._lock:
            for name, missing in self._missing.items():
                if missing:
                    raise ValueError(f"{name}: {missing} entries were not written, or {-missing} twice")
            self.finished = True

    def check_finished(self) -> None:
        """Raise ValueError before `finish`."""
        if not self.finished:
            raise ValueError("the result does not exist before close()")
