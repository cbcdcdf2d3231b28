"""One computation at a time per key, among all builds that share a store.

A build holds a lease on a key while it computes the cell: a file that only one can create, which names its
holder. A lease that is lost, or taken from a holder that lives after all, costs at most a second computation:
results are committed whole, and the first stays.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from compute.engine.process import ended, this_process

TTL = 60.0
"""Seconds. A holder on another machine whose heart has not beaten for so long is taken for dead."""
BEAT = 5.0
"""Seconds between two beats."""
FORGOTTEN = 7 * 86400.0
"""Seconds. Older files of holders are swept; far more than the clocks of two machines differ."""


def _silent(text: str) -> None:
    pass


class Leases:
    """The leases of one build, and its view of those of others. Not for several threads."""

    def __init__(
        self,
        root: Path,
        *,
        say: Callable[[str], None] = _silent,
        machine: str = "",
        ttl: float = TTL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the store's folder; `say` hears once if the file system cannot do this."""
        self.folder = root / "leases"
        self.ttl = ttl
        self.held: set[str] = set()
        self.off = False
        """Whether leases cannot be kept here: everybody then computes what is missing."""
        facts = {"id": uuid.uuid4().hex, **this_process()} | ({"machine": machine} if machine else {})
        self.machine = facts["machine"]
        self._holder = self.folder / "holders" / str(facts["id"])
        self._content = json.dumps(facts).encode()
        self._say = say
        self._clock = clock
        self._beats: dict[str, tuple[int, float]] = {}
        """What beat was last seen of whom, and since when by our own clock."""
        self._ended: threading.Event | None = None

    def acquire(self, key: str) -> bool:
        """Take the lease on *key*, also from a dead holder; False while another build holds it."""
        if self.off:
            return True
        try:
            return self._acquire(key)
        except OSError as error:
            self.off = True
            place = f"{self.folder.parent.name}/{self.folder.name}"
            self._say(f"leases cannot be kept in {place} ({error.strerror}): other builds may compute the same")
            return True

    def free(self, key: str) -> bool:
        """Say whether nobody who lives holds *key*."""
        try:
            seen = _read(self._path(key))
            return self.off or seen is None or self._dead(seen, self._path(key))
        except OSError:
            return True  # to acquire it will tell what is wrong

    def release(self, key: str) -> None:
        """Give the lease on *key* back, if it is held and still ours."""
        if key in self.held:
            self.held.discard(key)
            if _read(self._path(key)) == self._content:
                with suppress(OSError):
                    self._path(key).unlink()

    def close(self) -> None:
        """Give everything back, and let the heart stop."""
        for key in list(self.held):
            self.release(key)
        if self._ended:
            self._ended.set()
            self._ended = None
            with suppress(OSError):
                self._holder.unlink()

    def sweep(self) -> int:
        """Remove what dead holders left behind; return how many files."""
        swept = 0
        for holder in (*self.folder.glob("holders/*"), *self.folder.glob("aside-*")):
            if self._gone(holder):
                swept += _removed(holder)
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                if (seen := _read(path)) is not None and self._dead(seen, path):
                    self._set_aside(path, seen)
                    swept += 1
        return swept

    def anybody(self, wait: Callable[[float], None] = time.sleep) -> bool:
        """Say whether another build is at work on this store.

        One on another machine shows it by a beat: only where there is a holder's file of such, that takes a while.
        """
        found = [(path, _facts(_read(path) or b"")) for path in self.folder.glob("holders/*") if path != self._holder]
        here = [facts for _, facts in found if facts and facts["machine"] == self.machine]
        if any(not ended(facts) for facts in here):
            return True
        elsewhere = [path for path, facts in found if facts not in here]
        before = [_beat(path) for path in elsewhere]
        if elsewhere:
            wait(3 * BEAT)
        return any(beat not in (seen, None) for beat, seen in zip(map(_beat, elsewhere), before, strict=True))

    # -- taking ----------------------------------------------------------------------------------

    def _acquire(self, key: str) -> bool:
        self._announce()
        path = self._path(key)
        for _ in range(2):  # once more, where it was given back meanwhile, or its holder was dead
            # It is ours also where it is there with our content: a network may lose the answer that it was made.
            if self._created(path) or (seen := _read(path)) == self._content:
                self.held.add(key)
                return True
            if seen is not None:
                if not self._dead(seen, path):
                    return False
                self._set_aside(path, seen)
        return False

    def _created(self, path: Path) -> bool:
        """Make the lease if there is none: at once with its content, where the file system has links."""
        try:
            path.hardlink_to(self._holder)
        except FileExistsError:
            return False
        except OSError:  # its folder is not there yet, or there are no links here
            path.parent.mkdir(parents=True, exist_ok=True)
            return _created_alone(path, self._content)
        return True

    def _set_aside(self, path: Path, seen: bytes) -> None:
        """Remove a dead holder's lease, unless it is no longer the one that was *seen*: then it is put back."""
        aside = self.folder / f"aside-{uuid.uuid4().hex}"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        try:
            if _read(aside) != seen:
                with suppress(OSError):
                    path.hardlink_to(aside)
        finally:
            aside.unlink(missing_ok=True)

    # -- living and dead -------------------------------------------------------------------------

    def _announce(self) -> None:
        """Begin to live for others: at the first lease, for most builds compute nothing."""
        if self._ended is None:
            self._write_holder()
            self._ended = ended = threading.Event()
            threading.Thread(target=self._live, args=(ended,), daemon=True, name="heartbeat").start()

    def _live(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT):
            with suppress(OSError):
                self.beat()

    def beat(self) -> None:
        """Show that this process lives; where somebody removed the folder, begin anew."""
        try:
            os.utime(self._holder)
        except FileNotFoundError:
            self._write_holder()

    def _write_holder(self) -> None:
        self._holder.parent.mkdir(parents=True, exist_ok=True)
        self._holder.write_bytes(self._content)

    def _dead(self, seen: bytes, path: Path) -> bool:
        """Judge the holder that a lease names. One without a whole content is judged by its own age."""
        facts = _facts(seen)
        if facts is None:
            return self._unchanged(path)
        holder = self.folder / "holders" / facts["id"]
        if not holder.exists():
            return True
        return ended(facts) if facts["machine"] == self.machine else self._unchanged(holder)

    def _gone(self, holder: Path) -> bool:
        """Say whether a holder's file can be swept: its process has ended here, or nobody knows it any more."""
        facts = _facts(_read(holder) or b"")
        if facts and facts["machine"] == self.machine:
            return ended(facts)
        with suppress(OSError):
            return time.time() - holder.stat().st_mtime > FORGOTTEN
        return False

    def _unchanged(self, path: Path) -> bool:
        """Say whether a file has not been touched for the TTL, by our own clock: those of machines differ."""
        try:
            with path.open("rb") as file:  # an open file's times are up to date on network file systems, too
                beat = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return True
        known, since = self._beats.get(str(path), (None, 0.0))
        if known != beat:
            self._beats[str(path)] = beat, self._clock()
            return False
        return self._clock() - since > self.ttl

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key


def _beat(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return None


def _created_alone(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
        return True
    return False


def _facts(content: bytes) -> dict[str, Any] | None:
    """Read what a lease says of its holder; None if it is not all there."""
    try:
        found = json.loads(content)
        known = {**found, "id": str(found["id"]), "pid": int(found["pid"])}
        return known if known["id"].isalnum() and {"machine", "boot", "began"} <= set(known) else None
    except (ValueError, TypeError, KeyError):
        return None
