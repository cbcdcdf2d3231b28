"""What the study depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from compute import plugins
from compute.adapters.recipes import LoraRecipe
from compute.constraints import checked, limited
from compute.errors import UsageError
from compute.models.recipes import CausalArchitecture, Teaching
from compute.settings import Commit, Count

Translation = Annotated[str, checked(lambda name: plugins.check("compute.adapters.methods", name))]
Space = Literal["factor", "b", "delta"]
Policy = Literal["shared", "independent"]
Dtype = Literal["float32", "bfloat16"]
Options = Mapping[str, bool | int | float | str]

BASELINES = ("mean", "domain_mean", "nearest")
CONTROLS = ("permuted", "random_norm")
CEILINGS = ("span_ceiling",)
"""Methods that are no translation: to be beaten, to show that what is found is no artefact, or to bound it."""

DOCUMENTS = (
    "global_ridge", "pertensor_ridge", "topk_global_ridge", "topk_pertensor_ridge", "pertensor_mlp",
)  # fmt: skip
"""The document's learned methods, in the order of its table."""

SPACELESS = ("random_norm", "cross_lora")
"""Methods that make an adapter themselves, and look at no space."""


def _options(given: Mapping[str, Options]) -> Mapping[str, Options]:
    """Refuse options that a method does not have."""
    from compute.adapters.method import bind_options

    for method, options in given.items():
        bind_options(method, options)
    return given


@dataclass(frozen=True)
class Made:
    """Two models made by cells, which know the made tasks' skills and not which of them is wanted."""

    x: CausalArchitecture
    y: CausalArchitecture
    teaching: Teaching
    kind: Literal["made"] = "made"


@dataclass(frozen=True)
class Hub:
    """Two finished models, of the hub or in folders; `revisions` pins each repository to a commit."""

    x: str
    y: str
    revisions: Mapping[str, Commit] = field(default_factory=dict)
    kind: Literal["hub"] = "hub"


@dataclass(frozen=True)
class Collected:
    """Adapters that were made elsewhere: a folder as compute.adapters.collection describes it. Nothing is trained.

    `dtype` is what model Y computes in, and `together` of how many tasks one cell asks, where Y is among them.
    """

    folder: str
    dtype: Dtype = "float32"
    together: Count = 1
    kind: Literal["collected"] = "collected"


@dataclass(frozen=True)
class MadeTasks:
    """Tasks that Recount makes itself: examples of each to train on, and to be measured by."""

    train: Count
    evaluation: Count
    kind: Literal["made"] = "made"


@dataclass(frozen=True)
class HubTasks:
    """Tasks of the catalogue, all where no `names` are given, with at most so many examples of each."""

    train: Count
    evaluation: Count
    names: tuple[str, ...] = ()
    revisions: Mapping[str, Commit] = field(default_factory=dict)
    kind: Literal["hub"] = "hub"


@dataclass(frozen=True)
class Config:
    """What the study depends on."""

    seed: int
    models: Annotated[Made | Hub | Collected, limited(discriminator="kind")]
    compared: Mapping[Translation, tuple[Space, ...]]
    """The methods of the main table, each with the spaces that it is shown in."""
    lora: LoraRecipe | None = None
    """How adapters are trained; None for those that were made elsewhere.

    `lora.together` also says of how many tasks one cell asks: a cell is what is kept, or lost, as one.
    """
    tasks: Annotated[MadeTasks | HubTasks, limited(discriminator="kind")] | None = None
    """None for adapters that were made elsewhere, which bring their tasks."""
    primary: Translation = "pertensor_ridge"
    space: Space = "delta"
    """The method, and its space, that the study is judged by: declared before anything is measured."""
    everywhere: Mapping[Translation, tuple[Space, ...]] = field(default_factory=dict)
    """The methods that are measured on every task, each task being left out of its own anchors."""
    options: Annotated[Mapping[str, Options], checked(_options)] = field(default_factory=dict)
    """Options of methods, by method, where they are not to be the method's own defaults."""
    policies: Annotated[tuple[Policy, ...], limited(min_length=1)] = ("shared", "independent")
    """How adapters begin; the first is that of all results but the ablation. A collection's are as they are."""
    runs: Count = 1
    """How often all adapters are trained, from other beginnings and in another order, for the ablation.

    Those of a collection were trained once.
    """
    lambdas: tuple[Annotated[float, limited(gt=0)], ...] = ()
    neighbours: tuple[Count, ...] = ()
    """Numbers of nearest anchors (k)."""
    anchor_counts: tuple[Annotated[int, limited(ge=2)], ...] = ()
    draws: Count = 3
    """How often anchors are drawn for each number of them."""
    max_length: Count = 512
    """Tokens of a prompt and its answer."""
    new_tokens: Count = 256
    """Most tokens that are generated for an answer."""

    def __post_init__(self) -> None:
        """Refuse a config whose parts do not fit each other."""
        for name, given in (("tasks", self.tasks), ("lora", self.lora)):
            if (given is None) != isinstance(self.models, Collected):
                raise UsageError(f"{name}: needed for models that are made or found, and brought along by a collection")
        if "factor" not in self.compared.get("mean", ()):
            raise UsageError("compared: needs `mean: [factor]`, which all else is compared with")
        if self.space not in self.compared.get(self.primary, ()):
            raise UsageError(f"compared: lacks the declared method, `{self.primary}: [{self.space}]`")
        if isinstance(self.models, Made) and not isinstance(self.tasks, MadeTasks):
            raise UsageError("tasks: models that are made here know the made tasks alone: set `kind: made`")

    @property
    def asking(self) -> LoraRecipe | Collected:
        """What says in which `dtype` model Y is asked, and about how many tasks `together`."""
        if self.lora is not None:
            return self.lora
        assert isinstance(self.models, Collected)  # as is checked above
        return self.models
