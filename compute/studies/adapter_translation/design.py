"""The study's cells: training, translating and asking, described on demand from one config."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from compute.adapters.method import method_info
from compute.adapters.recorded import OTHERS
from compute.cells import comparison, translation
from compute.engine.cell import Cell
from compute.engine.keys import derived_seed
from compute.evaluation.tasks.task import Task
from compute.studies.adapter_translation.config import SPACELESS, Config, Space
from compute.studies.adapter_translation.zoo import Groups, Zoo, zoo


@dataclass(frozen=True)
class Training:
    """One training of all adapters: how they begin, and which repetition this is."""

    policy: str
    run: int = 0


@dataclass(frozen=True)
class Pool:
    """Candidates for anchors, under a name; a task among them is never its own anchor."""

    name: str
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class System:
    """One way to translate: a method with its options, in a space, by the anchors of a pool."""

    method: str
    space: Space
    pool: Pool
    options: tuple[tuple[str, bool | int | float | str], ...]

    @property
    def label(self) -> str:
        """Name method and space for people."""
        return f"{self.method}, ΔW" if self.space == "delta" and self.method not in SPACELESS else self.method

    @property
    def slug(self) -> str:
        """Name method and space as a collection's recorded results do."""
        return f"{self.method}-{self.space}"

    @property
    def needs_bases(self) -> bool:
        """Whether the method looks at the weights of both models."""
        return method_info(self.method).needs_bases


def _sorted(options: Mapping[str, bool | int | float | str]) -> tuple[tuple[str, bool | int | float | str], ...]:
    """Write options so that a system can be told from others."""
    return tuple(sorted(options.items()))


AS_FOUND = "as found"
"""How adapters begin that were made elsewhere: nobody but their factors can tell."""


class Design:
    """The cells of the study, made on demand from one config; the same call is always the same cell."""

    spaces: tuple[Space, ...] = ("factor", "delta")
    """What the declared method is compared in, wherever spaces are compared."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.zoo: Zoo = zoo(config)
        self.tasks: Mapping[str, Task] = {task.name: task for task in self.zoo.tasks}
        self.domains = {name: task.domain for name, task in self.tasks.items()}
        self.policies: tuple[str, ...] = (AS_FOUND,) if self.zoo.parts else config.policies
        self.first = Training(self.policies[0])
        self._asked: dict[tuple[object, ...], Groups | None] = {}
        self._grams: dict[tuple[object, ...], Cell] = {}

    @cached_property
    def anchors(self) -> list[str]:
        """Name the anchors of the fixed split."""
        return [name for name, task in self.tasks.items() if task.role == "anchor"]

    @cached_property
    def held_out(self) -> list[str]:
        """Name the tasks that the fixed split holds out."""
        return [name for name in self.measured if self.tasks[name].role == "held-out"]

    @cached_property
    def measured(self) -> list[str]:
        """Name the tasks whose answers can be judged, anchors or not."""
        return self.zoo.measured

    @cached_property
    def anchor_counts(self) -> list[int]:
        """The numbers of anchors to be drawn, as far as there are so many."""
        return [count for count in self.config.anchor_counts if count <= len(self.anchors)]

    @cached_property
    def neighbours(self) -> list[int]:
        """The numbers of nearest anchors to be looked at, as far as there are so many."""
        return [count for count in self.config.neighbours if count <= len(self.anchors)]

    @cached_property
    def fixed(self) -> Pool:
        """All anchors of the fixed split."""
        return Pool("anchors", tuple(self.anchors))

    @cached_property
    def others(self) -> Pool:
        """Every task but the one to be translated: one is left out at a time."""
        return Pool("all others", tuple(self.tasks))

    @cached_property
    def by_domain(self) -> dict[str, Pool]:
        """The anchors of each domain that has more than one."""
        named = {
            domain: [name for name in self.anchors if self.domains[name] == domain] for domain in self.domains.values()
        }
        return {domain: Pool(domain, tuple(names)) for domain, names in named.items() if len(names) > 1}

    def trainings(self) -> Iterator[Training]:
        """List all trainings: every policy, every repetition."""
        for policy in self.policies:
            for run in range(1 if self.zoo.parts else self.config.runs):
                yield Training(policy, run)

    def system(self, method: str, space: Space, pool: Pool, **options: float) -> System:
        """Describe a way to translate, with the config's options of the method."""
        return System(method, space, pool, _sorted({**self.config.options.get(method, {}), **options}))

    @property
    def primary(self) -> tuple[str, Space]:
        """The declared method and its space."""
        return self.config.primary, self.config.space

    def base(self, tasks: Sequence[str]) -> Groups | None:
        """Ask model Y as it is."""
        return self.zoo.answers("base", tasks, lambda group: None, recorded=["base"], among=self.measured)

    def oracle(self, tasks: Sequence[str], training: Training | None = None) -> Groups | None:
        """Ask model Y with the adapters that were trained on the tasks themselves."""
        every = None if self.zoo.parts else self.adapters("Y", training)
        own = lambda group: every or self.adapters("Y", training, group)  # noqa: E731
        return self.zoo.answers("oracle", tasks, own, recorded=["oracle"], among=self.measured)

    def adapters(self, model: str, training: Training | None = None, tasks: Sequence[str] = ()) -> Cell:
        """All adapters of a model, or those of *tasks* where they can be had without the others."""
        asked = training or self.first
        return self.zoo.adapters(model, asked.policy, asked.run, tasks)

    def grams(self, model: str, space: Space, training: Training | None = None) -> Cell:
        """Inner products of all adapters of a model."""
        call = (model, space, training or self.first)
        if call not in self._grams:
            self._grams[call] = translation.grams(self.adapters(model, training), space)
        return self._grams[call]

    def asked(self, system: System, tasks: Sequence[str], training: Training | None = None) -> Groups | None:
        """Ask model Y with translated adapters; None where that was not measured and cannot be."""
        call = (system, *tasks, training or self.first)
        if call not in self._asked:
            can = all(self.zoo.bases.values()) or not system.needs_bases
            adapters = (lambda group: self._translated(system, group, training)) if can else None
            among = self.measured if system.pool == self.others else self.held_out
            self._asked[call] = self.zoo.answers(
                system.slug, tasks, adapters, recorded=self._recorded_as(system), among=among
            )
        return self._asked[call]

    def _recorded_as(self, system: System) -> list[str]:
        """Name what a collection calls the results of *system*: they are of the config's options and fixed anchors."""
        if system.options != _sorted(self.config.options.get(system.method, {})):
            return []
        named = ((self.fixed, system.slug), (self.others, f"{system.slug}-{OTHERS}"))
        return [name for pool, name in named if pool.tasks == system.pool.tasks]

    def _translated(self, system: System, tasks: Sequence[str], training: Training | None) -> Cell:
        return translation.translated(
            self.adapters("X", training), self.adapters("Y", training), *self._looked_at(system, tasks, training),
            self.zoo.bases["X"], self.zoo.bases["Y"],
        )  # fmt: skip

    def run(self, system: System, tasks: Sequence[str], training: Training | None = None) -> dict[str, Groups] | None:
        """Gather what a method is compared with, all of one training; None where something was not measured."""
        mean = self.system("mean", "factor", system.pool)
        found = {
            "method": self.asked(system, tasks, training),
            "mean": self.asked(mean, tasks, training),
            "base": self.base(tasks),
            "oracle": self.oracle(tasks, training),
        }
        whole = {name: groups for name, groups in found.items() if groups is not None}
        return whole if len(whole) == len(found) else None

    def pooled(
        self, what: str, system: System, tasks: Sequence[str], trainings: Sequence[Training] = ()
    ) -> Cell | None:
        """Pool a way to translate over *tasks*, and over trainings."""
        runs = [self.run(system, tasks, training) for training in trainings or [self.first]]
        whole = [run for run in runs if run]
        return comparison.pooled(what, list(tasks), whole, self.config.seed) if len(whole) == len(runs) else None

    def diagnosed(self, system: System, tasks: Sequence[str], training: Training) -> Cell:
        """Compare what a way to translate predicts with the tasks' own adapters."""
        looked_at = self._looked_at(system, tasks, training)
        return translation.diagnosed(*looked_at, policy=training.policy, run=training.run)

    def drawn(self, count: int, draw: int) -> Pool:
        """Draw *count* anchors, as many of each domain as can be; the same for all methods."""
        rng = random.Random(derived_seed(self.config.seed, f"{count} anchors/{draw}"))
        by_domain = [self._shuffled(rng, domain) for domain in dict.fromkeys(self.domains.values())]
        rng.shuffle(by_domain)
        turns = [names[turn] for turn in range(len(self.anchors)) for names in by_domain if turn < len(names)]
        chosen = set(turns[:count])
        return Pool(f"{count} anchors, draw {draw + 1}", tuple(name for name in self.anchors if name in chosen))

    def _shuffled(self, rng: random.Random, domain: str) -> list[str]:
        names = [name for name in self.anchors if self.domains[name] == domain]
        rng.shuffle(names)
        return names

    def _looked_at(self, system: System, tasks: Sequence[str], training: Training | None) -> tuple[object, ...]:
        """List what a translation looks at, in the order of the cells that translate and that diagnose."""
        grams = (self.grams(model, system.space, training) for model in ("X", "Y"))
        return (
            *grams, list(tasks), list(system.pool.tasks), self.domains, system.method, dict(system.options),
            system.space, system.pool.name, self.config.seed,
        )  # fmt: skip
