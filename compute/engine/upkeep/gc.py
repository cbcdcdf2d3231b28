"""Chooses what of a store is no longer wanted, by reachability and age, and removes it.

Reachable is what `Roots` wants; of the rest, what was made or built lately stays. Times are those that records
and builds hold, never those of access; one in the future, as after a clock was set back, counts as new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from compute.engine.plan import Plan
from compute.engine.storage.scratch import Scratch
from compute.engine.store import Store
from compute.engine.upkeep.builds import Builds, Manifest
from compute.engine.upkeep.inventory import Entry, Inventory, Item, Removal


@dataclass
class Roots:
    """Which results are wanted."""

    keys: dict[str, set[str]] = field(default_factory=dict)
    """Key → ids of the traces whose results are wanted."""
    every: set[str] = field(default_factory=set)
    """Keys of which any result is wanted, whatever its trace: none is fresh, and the last good value is shown."""

    def add_plan(self, plan: Plan) -> None:
        """Want what is fresh; for a cell that would run, all that there is of its key."""
        for key, step in plan.steps.items():
            if step.stamp:
                self.keys.setdefault(key, set()).add(step.stamp.trace)
            else:
                self.every.add(key)

    def add_builds(self, manifests: Iterable[Manifest]) -> None:
        """Want the results that these builds had."""
        for stamp in (stamp for item in manifests for stamp in item.cells.values()):
            self.keys.setdefault(stamp.key, set()).add(stamp.trace)

    def wants(self, key: str, trace: str) -> bool:
        """Whether a result is wanted."""
        return key in self.every or trace in self.keys.get(key, ())

    def wants_some(self, key: str) -> bool:
        """Whether any result of a cell is wanted."""
        return key in self.every or key in self.keys


@dataclass(frozen=True)
class Rules:
    """What is given up besides what is wanted."""

    keep: timedelta = timedelta(days=30)
    """What was made or built within this time stays."""
    most: int | None = None
    """Bytes: more than this, and unwanted results go also when they are younger, the oldest first."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def since(self) -> datetime:
        """What is older than this may go."""
        return self.now - self.keep


@dataclass(frozen=True)
class Sweep:
    """What will be, or was, removed."""

    results: tuple[Removal, ...]
    others: tuple[Item, ...]
    kept: int
    """How many results stay."""
    before: int
    """Bytes on the disk before; what is linked twice counts once."""

    @property
    def freed(self) -> int:
        """Bytes set free."""
        return sum(item.size for item in self.results) + sum(item.size for item in self.others)

    @property
    def left(self) -> int:
        """Bytes on the disk afterwards."""
        return self.before - self.freed

    def by_function(self) -> Mapping[str, tuple[int, int]]:
        """Return how many results of each function go, and the bytes, most bytes first."""
        return _counted((item.entry.function, item.size) for item in self.results)

    def by_kind(self) -> Mapping[str, tuple[int, int]]:
        """Return how much else goes, as failures and damaged results set aside."""
        return _counted((item.kind, item.size) for item in self.others)


def _counted(sizes: Iterable[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    counts: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for name, size in sizes:
        counts[name] += 1
        total[name] += size
    return {name: (counts[name], total[name]) for name in sorted(counts, key=lambda name: (-total[name], name))}


def choose(store: Store, roots: Roots, rules: Rules) -> Sweep:
    """Say what would be removed; touch nothing."""
    inventory = Inventory(store.root)
    builds = Builds(store.root)
    unwanted = _unwanted(inventory, roots, _last_built(builds))
    removals = [inventory.release(entry) for when, entry in unwanted if when < rules.since]
    others = [*_aside(inventory, roots, rules), *inventory.orphans(), *_builds(builds, inventory, rules)]
    size = inventory.size
    left = size - sum(item.size for item in removals) - sum(item.size for item in others)
    for _, entry in unwanted[len(removals) :]:
        if rules.most is None or left <= rules.most:
            break
        removals.append(inventory.release(entry))
        left -= removals[-1].size
    gone = {removal.entry.id for removal in removals}
    others += [*_sources(inventory, gone, rules), *inventory.verified(gone)]
    return Sweep(tuple(removals), tuple(others), len(inventory.everything) - len(removals), size)


def _unwanted(
    inventory: Inventory, roots: Roots, lately: Mapping[tuple[str, str], datetime]
) -> list[tuple[datetime, Entry]]:
    """Return the results that nothing wants, each with when it was last made or built, the oldest first."""
    found = [entry for entry in inventory.results if not roots.wants(*entry.id)]
    timed = [(max(entry.when, lately.get(entry.id, entry.when)), entry) for entry in found]
    return sorted(timed, key=lambda item: (item[0], item[1].id))


def _last_built(builds: Builds) -> dict[tuple[str, str], datetime]:
    """Return when a build last had each result."""
    found: dict[tuple[str, str], datetime] = {}
    for manifest in builds.all():
        when = datetime.fromisoformat(manifest.when)
        for key, trace, _ in manifest.cells.values():
            found[key, trace] = max(when, found.get((key, trace), when))
    return found


def _aside(inventory: Inventory, roots: Roots, rules: Rules) -> Iterator[Item]:
    """Find failures of cells that nobody wants, and damaged results that were set aside, where they are old."""
    for item in inventory.failures():
        if not roots.wants_some(item.path.stem) and item.when < rules.since:
            yield item
    yield from (item for item in inventory.quarantine() if item.when < rules.since)


def _builds(builds: Builds, inventory: Inventory, rules: Rules) -> Iterator[Item]:
    """Find the manifests that are old, neither pinned nor the last of their subject."""
    pinned = {manifest.id for manifest in builds.pins().values()}
    seen = set()
    for manifest in builds.all():
        last = manifest.subject not in seen
        seen.add(manifest.subject)
        if not last and manifest.id not in pinned and datetime.fromisoformat(manifest.when) < rules.since:
            yield inventory.item("build", builds.folder / f"{manifest.id}.json")


def _sources(inventory: Inventory, gone: set[tuple[str, str]], rules: Rules) -> Iterator[Item]:
    """Find the texts of definitions that made no result that stays."""
    kept = {part for entry in inventory.everything if entry.id not in gone for part in entry.code}
    return (item for item in inventory.sources() if item.path.name not in kept and item.when < rules.since)


def remove(store: Store, sweep: Sweep) -> None:
    """Remove what was chosen, each result by one rename, so that a reader finds all of it or nothing."""
    scratch = Scratch(store.root / "tmp")
    for removal in sweep.results:
        removal.carry_out(scratch)
    for item in sweep.others:
        item.remove(scratch)
