"""Cells that train adapters or read them, and ask a model with adapters about its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from compute.engine.cell import cell
from compute.engine.keys import derived_seed

if TYPE_CHECKING:
    from compute.adapters.places import FolderAdapter, HubAdapter
    from compute.adapters.recipes import LoraRecipe
    from compute.adapters.recorded import Recorded
    from compute.engine.work import Handle
    from compute.evaluation.tasks.task import Metric

Adapters = dict[str, Any]
"""Adapters by task, each as compute.adapters.adapter.to_tree writes it."""

Policy = Literal["shared", "independent"]
"""Whether all adapters of a model begin with the same A, or each with its own."""

Answers = dict[str, dict[str, Any]]
"""By task: accuracy, low, high (Wilson, 95 %), n, correct (per example), ids (a digest of the examples', "" where they
are not known), metric, failed (answers from which nothing could be read), legacy (accuracy by string match, for
programs) and cut (the share of prompts that were too long, and lost their beginning)."""


@cell(label="{model}/{policy}/{draw}/{tasks}", libraries=("torch", "transformers", "peft"))
def trained(
    model: str,
    base: dict[str, Any],
    data: Mapping[str, dict[str, Any]],
    tasks: str,
    lora: LoraRecipe,
    policy: Policy,
    draw: int,
    start: int,
) -> Adapters:
    """Train an adapter for each task in *data*; those whose data cannot be used are left out.

    The seeds follow from *start*, *draw* and the names of model and task, not from the call, so that the adapters of
    one policy are the same however the tasks are grouped. The order of examples is the same for both models. *tasks*
    names the group.
    """
    from compute.adapters.adapter import to_tree
    from compute.adapters.training import initial, train
    from compute.models.causal import from_tree
    from compute.models.device import device
    from compute.models.prompts import encode

    found = from_tree(base)
    usable = [task for task, examples in data.items() if not examples["facts"]["problem"]]
    encoded = {
        task: encode(found, [(one["prompt"], one["target"]) for one in data[task]["train"]], lora.max_length)
        for task in usable
    }
    network = found.network(lora.dtype)
    named = {task: f"{model}/{draw}/{task if policy == 'independent' else ''}" for task in usable}
    starts = {task: initial(network, lora, derived_seed(start, name)) for task, name in named.items()}
    order = derived_seed(start, f"order/{draw}")
    done = train(network, encoded, starts, lora, seed=order, pad_id=found.pad_id, device=device())
    return {task: to_tree(adapter) for task, adapter in done.items()}


@cell(label="{task}", store=False)
def found_adapter(task: str, place: FolderAdapter | HubAdapter) -> Adapters:
    """Read an adapter that was made elsewhere."""
    from compute.adapters.adapter import to_tree

    return {task: to_tree(place.load())}


@cell(label="{name}", store=False)
def joined(name: str, parts: Sequence[Adapters]) -> Adapters:
    """Put groups of adapters of one model together; *name* tells them from others."""
    return {task: adapter for part in parts for task, adapter in part.items()}


@cell(label="{what}/{adapters}/{tasks}", lazy=("base",), libraries=("torch", "transformers"))
def answers(
    what: str,
    base: Handle,
    adapters: Adapters | None,
    data: Mapping[str, dict[str, Any]],
    metrics: Mapping[str, Metric],
    tasks: str,
    max_length: int,
    new_tokens: int,
    dtype: Literal["float32", "bfloat16"],
) -> Answers:
    """Ask a model about the tasks in *data*, each with its own adapter, or with none at all.

    Tasks without an adapter, or whose data cannot be used, are left out. *tasks* names the group.
    """
    from compute.adapters.adapter import from_tree
    from compute.adapters.asking import asked
    from compute.evaluation.tasks.task import from_tree as task_of
    from compute.models.device import device

    usable = [task for task, found in data.items() if not found["facts"]["problem"]]
    wanted = [task for task in usable if adapters is None or task in adapters]
    if not wanted:
        return {}
    model = asked(base.identity, base.load, dtype=dtype, device=device())
    return {
        task: model.score(
            metrics[task],
            task_of(data[task]).evaluation,
            from_tree(adapters[task]) if adapters else None,
            max_length=max_length,
            new_tokens=new_tokens,
        )
        for task in wanted
    }


@cell(label="{system}/{task}")
def recorded(place: Recorded, system: str, task: str) -> Answers:
    """Take from a file what was measured elsewhere."""
    from compute.evaluation.answers.score import score

    found = place.load()
    scored = score(found["correct"], found["ids"], "recorded")
    return {task: scored if found["ids"] else {**scored, "ids": ""}}
