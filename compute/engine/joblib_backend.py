"""Lets `joblib.Memory` keep its results in a store of ours: importing this module registers the backend "recount".

    import compute.engine.joblib_backend
    memory = joblib.Memory("cache", backend="recount", verbose=0)

A result is found by joblib's hash of the arguments and by a fingerprint of the function and of every project
definition that it reaches, taken when the function is decorated: an edited comment keeps what there is, an edited
helper computes anew, and an older state of the code finds its results again. A function from no file of the
project, as in a notebook, is told by its own text alone. Arguments are told apart as joblib does it: the content of
a file behind a path, or the code of an object's class, does not count.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from joblib import register_store_backend
from joblib._store_backends import CacheItemInfo, StoreBackendBase, StoreBackendMixin
from joblib.memory import MemorizedFunc

from compute.engine.files import Remembered
from compute.engine.joblib_functions import checked, parts, plain
from compute.engine.keys import hashed
from compute.engine.machine import environment, source
from compute.engine.record import JOBLIB, Cost, Record, Trace
from compute.engine.storage import objects
from compute.engine.store import DamagedResult, Store
from compute.errors import UsageError

NAME = "recount"
"""What to pass to `joblib.Memory` as its backend."""

CallId = tuple[str, str]
"""joblib's names for a function, by its module, and for its arguments, by their hash."""

_CARRIED = "_recount_trace"
"""The attribute in which a script's function takes its trace to workers, where the script's file is unknown."""


class StoreBackend(StoreBackendBase, StoreBackendMixin):  # type: ignore[misc]
    """A store as joblib asks for it.

    It never decides by itself that a function has changed: results leave only by `clear`, `reduce_size` or a
    `cache_validation_callback`. What cannot be kept raises CodecError, and what is damaged is computed again.
    """

    _open_item, _item_exists, _move_item = staticmethod(open), staticmethod(os.path.exists), staticmethod(os.replace)

    def configure(self, location: str, verbose: int = 0, backend_options: Mapping[str, Any] | None = None) -> None:
        """Use the store at *location*; UsageError for options that concern pickles."""
        for option in ("compress", "mmap_mode"):
            _refuse_option(option, (backend_options or {}).get(option))
        self.__setstate__({"location": location, "verbose": verbose})
        self._store.sweep()

    def __getstate__(self) -> dict[str, Any]:
        """Travel as a place alone: joblib also hashes this, where a method of an object is an argument."""
        return {"location": self.location, "verbose": self.verbose}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Arrive at a place."""
        self.location, self.verbose = state["location"], state["verbose"]
        self._store = Store(Path(self.location))
        self._sources = Remembered()
        self._traces: WeakKeyDictionary[Callable[..., Any], Trace] = WeakKeyDictionary()
        self._asked: set[tuple[str, str]] = set()
        """The results that were found missing, which are about to be computed."""

    # -- functions -------------------------------------------------------------------------------

    def store_cached_func_code(self, call_id: list[str], func_code: str | None = None) -> None:
        """Take a function's fingerprint when it is decorated; UsageError for one that cannot be told from others."""
        memorized, _ = _asking()
        if memorized is not None and func_code is None:
            _refuse_option("mmap_mode", memorized.mmap_mode)
            function = checked(memorized.func)
            trace = self._noted(function, Trace(parts(function, self._sources), {}))
            if function.__module__ == "__main__":
                vars(function)[_CARRIED] = trace

    def get_cached_func_code(self, call_id: list[str]) -> str:
        """Say that the code is what it was, for joblib deletes all results of a function that has changed."""
        memorized, _ = _asking()
        if memorized is None:
            raise FileNotFoundError("the recount store keeps no code of functions")
        return cast(str, memorized.func_code_info[0])

    def _trace(self, function: Callable[..., Any]) -> Trace:
        function = plain(function)
        if function in self._traces:
            return self._traces[function]
        carried = getattr(function, _CARRIED, None)  # it was decorated in another process
        return self._noted(function, carried or Trace(parts(function, self._sources), {}))

    def _noted(self, function: Callable[..., Any], trace: Trace) -> Trace:
        with suppress(TypeError):  # some of those that are not written in Python cannot be referred to
            self._traces[function] = trace
        return trace

    # -- results ---------------------------------------------------------------------------------

    def contains_item(self, call_id: CallId) -> bool:
        """Whether there is a result of the present code, all of whose bytes seem to be there."""
        record = self._find(call_id)
        memorized, _ = _asking()
        if record is not None and self._size(record) != record.size:
            with suppress(DamagedResult):
                self._store.load(record)
            record = None
        if record is None and memorized is not None:
            self._asked.add((_key(call_id), self._trace(memorized.func).id))
        return record is not None

    def load_item(
        self,
        call_id: CallId,
        verbose: int = 0,
        timestamp: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read a result; KeyError if there is none, DamagedResult if its bytes are not those that were written."""
        record = self._find(call_id, metadata)
        if record is None:
            raise KeyError(f"no result {_key(call_id)[:12]} of this code: it may have been cleared; call the function")
        return self._store.load(record)

    def dump_item(self, call_id: CallId, item: object, verbose: int = 0) -> None:
        """Commit a result. CodecError for a type that is not kept, OSError where nothing can be written."""
        memorized, local = _asking()
        if memorized is None:
            raise UsageError("a result can only be kept by calling the function that joblib.Memory has decorated")
        record = _record(call_id, plain(memorized.func), self._trace(memorized.func), local.get("start_time"))
        place = (record.key, record.trace.id)
        self._store.commit(record, item, anew=place not in self._asked)
        self._asked.discard(place)

    def clear_item(self, call_id: CallId) -> None:
        """Delete one result."""
        if record := self._find(call_id):
            self._remove([record])

    def get_metadata(self, call_id: CallId) -> dict[str, Any]:
        """Return when a result was made and how long it took, in seconds, as joblib's callbacks expect."""
        record = self._find(call_id)
        if record is None:
            return {}
        made = datetime.fromisoformat(record.when).timestamp()
        return {"duration": record.cost.seconds, "time": made, "trace": record.trace.id}

    def store_metadata(self, call_id: CallId, metadata: dict[str, Any]) -> None:
        """Write nothing, for the record tells enough and no arguments; say of which code the result is."""
        memorized, _ = _asking()
        if memorized is not None:
            metadata["trace"] = self._trace(memorized.func).id

    def _find(self, call_id: CallId, metadata: Mapping[str, Any] | None = None) -> Record | None:
        """Find the result of the code of whoever asks; where nobody is known to, the newest."""
        memorized, local = _asking(2)
        metadata = metadata or getattr(local.get("self"), "metadata", None) or {}
        key, trace = _key(call_id), self._trace(memorized.func).id if memorized else metadata.get("trace")
        if trace:
            return self._store.find(key, trace)
        return next(reversed(self._store.others(key)), None)

    def _size(self, record: Record) -> int:
        folder = self._store.folder(record.key, record.trace.id)
        with suppress(OSError):
            return sum((folder / name).stat().st_size for name in record.files)
        return -1

    # -- all results -----------------------------------------------------------------------------

    def get_items(self) -> list[CacheItemInfo]:
        """List the results that joblib's functions have here, those of cells not; what counts as age is their own."""
        return [CacheItemInfo(record, record.size, _local(record.when)) for record in self._all()]

    def clear_location(self, location: Record | str) -> None:
        """Delete one result, or all that `get_items` lists."""
        self._remove([location] if isinstance(location, Record) else list(self._all()))

    def clear_path(self, call_id: list[str]) -> None:
        """Delete all results of one function, of whatever code."""
        self._remove([record for record in self._all() if record.arguments[JOBLIB] == _mark(call_id[0])])

    def create_location(self, location: str) -> None:
        """Do nothing: folders are made when something is written."""

    def _all(self) -> Iterator[Record]:
        return (record for record in self._store.all() if JOBLIB in record.arguments)

    def _remove(self, records: list[Record]) -> None:
        for record in records:
            self._store.remove(record)
            objects.release(self._store.root, record.files.values())


def _asking(above: int = 1) -> tuple[Any, Mapping[str, Any]]:
    """Return the decorated function that asks the store, if one does, and the variables of joblib's asking method.

    joblib tells a store a function's name, but not the function, which is what counts: it stands in the frames
    of joblib's methods *above* the backend's own.
    """
    frame = sys._getframe(above + 1)
    local = frame.f_locals
    step: Any = frame
    while step is not None and step.f_globals.get("__name__") == MemorizedFunc.__module__:
        asking = step.f_locals.get("self")
        if isinstance(asking, MemorizedFunc):
            return asking, local
        step = step.f_back
    return None, local


def _refuse_option(option: str, value: object) -> None:
    if value not in (None, False):
        raise UsageError(f"joblib.Memory(backend={NAME!r}): {option} is for pickles, and there are none; leave it out")


def _key(call_id: CallId) -> str:
    return hashed(["joblib", *call_id])


def _mark(function: str) -> str:
    """Name a function without the path that joblib's name for it has, if it is a script's."""
    return hashed(["joblib", function])[:16]


def _record(call_id: CallId, function: Callable[..., Any], trace: Trace, started: float | None) -> Record:
    name = f"{function.__module__}.{function.__qualname__}"
    return Record(
        key=_key(call_id),
        name=name,
        function=name,
        arguments={JOBLIB: _mark(call_id[0]), "hash": call_id[1]},
        trace=trace,
        digest="",
        size=0,
        files={},
        cost=Cost(round(time.time() - started, 3) if started else 0.0, 0.0, 0),
        seed=None,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(source()),
    )


def _local(when: str) -> datetime:
    """Return a time as joblib compares it: by the local clock, without a zone."""
    return datetime.fromisoformat(when).astimezone().replace(tzinfo=None)


register_store_backend(NAME, StoreBackend)
