"""Cells that translate adapters from one model to another by anchors, and look into how that works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from compute.cells.adapters import Adapters
from compute.engine.cell import cell
from compute.engine.keys import derived_seed

if TYPE_CHECKING:
    from compute.adapters.problem import Grams, Space
    from compute.engine.work import Handle

GramTree = dict[str, Any]
"""tasks, groups (layer, kind, part) and values [groups, tasks, tasks] of compute.adapters.problem.Grams."""

Rule = Literal["raw cosine", "centred cosine"]
"""How near two adapters are: as they are, or after subtracting the mean of all."""


@cell(label="{adapters}/{space}")
def grams(adapters: Adapters, space: Space) -> GramTree:
    """Compute the inner products of all adapters of a model, group by group."""
    from compute.adapters.adapter import from_tree
    from compute.adapters.spaces import grams, to_tree

    return to_tree(grams({task: from_tree(adapter) for task, adapter in adapters.items()}, space))


@cell(
    label="{method}/{space}/{pool}",
    store=False,
    lazy=("x", "base_x", "base_y"),
    plugins={"method": "compute.adapters.methods"},
    libraries=("numpy", "torch"),
)
def translated(
    x: Handle,
    y: Adapters,
    grams_x: GramTree,
    grams_y: GramTree,
    tasks: Sequence[str],
    candidates: Sequence[str],
    domains: Mapping[str, str],
    method: str,
    options: Mapping[str, bool | int | float | str],
    space: Space,
    pool: str,
    start: int,
    base_x: Handle | None = None,
    base_y: Handle | None = None,
) -> Adapters:
    """Translate the adapters of *tasks* by those of all other *candidates*: no task is its own anchor.

    Tasks and candidates without an adapter are left out, as are tasks without any anchor; *pool* names the candidates.
    """
    from compute.adapters.adapter import from_tree, to_tree
    from compute.adapters.leave_out import problems, translate_all
    from compute.adapters.method import method_info
    from compute.models.causal import from_tree as model

    info, own = method_info(method), {task: from_tree(tree) for task, tree in y.items()}
    known = problems(
        _grams(grams_x), _grams(grams_y), tasks, candidates, domains, _seeds(start, tasks), truth=info.needs_truth
    )
    others = {task: from_tree(tree) for task, tree in x.load().items()} if info.gives == "adapter" else None
    bases = [model(base.load()).weight if base and info.needs_bases else None for base in (base_x, base_y)]
    found = translate_all(known, own, method, options, space, x=others, bases=(bases[0], bases[1]))
    return {task: to_tree(adapter) for task, adapter in found.items()}


@cell(label="{method}/{space}/{pool}/{policy}/{run}", plugins={"method": "compute.adapters.methods"})
def diagnosed(
    grams_x: GramTree,
    grams_y: GramTree,
    tasks: Sequence[str],
    candidates: Sequence[str],
    domains: Mapping[str, str],
    method: str,
    options: Mapping[str, bool | int | float | str],
    space: Space,
    pool: str,
    start: int,
    policy: str,
    run: int,
) -> dict[str, float | None]:
    """Compare what a method predicts with the tasks' own adapters on Y, in the space of weights, by inner products.

    *policy* and *run* name the training of the adapters.
    """
    from compute.adapters.leave_out import diagnose, problems

    x, y = _grams(grams_x), _grams(grams_y)
    known = problems(x, y, tasks, candidates, domains, _seeds(start, tasks), truth=True)
    return diagnose(x, y, known, method, options)


@cell(label="{space}/λ={relative_lambda}")
def left_out(
    grams_x: GramTree, grams_y: GramTree, anchors: Sequence[str], space: Space, relative_lambda: float
) -> dict[str, float]:
    """Measure how well each anchor is predicted from the others, relative to their mean."""
    from compute.adapters.leave_out import left_out_error

    return {"loo": left_out_error(_grams(grams_x), _grams(grams_y), anchors, relative_lambda)}


@cell(label="{adapters}")
def start_audit(adapters: Adapters) -> dict[str, Any]:
    """Find out whether all adapters of a model began alike."""
    from compute.adapters.adapter import from_tree
    from compute.adapters.diagnostics import same_start

    found = same_start({task: from_tree(adapter) for task, adapter in adapters.items()})
    return {name: None if value != value else value for name, value in found._asdict().items()}


@cell(label="{rule}")
def nearest_anchors(
    grams_x: GramTree, candidates: Sequence[str], domains: Mapping[str, str], rule: Rule, count: int
) -> dict[str, Any]:
    """Name the *count* nearest candidates of every task, by the cosine of the adapters on X: raw, or centred."""
    from compute.adapters.leave_out import problems
    from compute.adapters.similarity import nearest_anchors

    x = _grams(grams_x)
    known = problems(x, x, x.tasks, candidates, domains, _seeds(0, x.tasks), truth=False)
    chosen = {
        task: [one.anchors[place] for place in nearest_anchors(one, count, rule == "centred cosine")]
        for task, one in known.items()
    }
    return {
        task: {"names": names, "same_domain": sum(domains[name] == domains[task] for name in names) / len(names)}
        for task, names in chosen.items()
        if names
    }


@cell(label="{task}/{rule}")
def nearest_of(task: str, rule: Rule, nearest: Mapping[str, Any]) -> dict[str, Any]:
    """Take one task from the nearest anchors of all; of one without an adapter nothing is known."""
    found = nearest.get(task, {"names": [], "same_domain": None})
    return {**found, "names": ", ".join(found["names"])}


@cell()
def hubs(by_rule: Mapping[str, Mapping[str, Any]], candidates: Sequence[str], domains: Mapping[str, str]) -> list[Any]:
    """Count for every candidate of how many tasks' nearest it is, under each rule; the most wanted first."""
    from compute.adapters.diagnostics import hubs

    rows = [
        {"rule": rule, "anchor": name, "domain": domains[name], "times": times, "of": len(nearest)}
        for rule, nearest in by_rule.items()
        for name, times in hubs([one["names"] for one in nearest.values()], candidates).items()
        if name in nearest
    ]
    return sorted(rows, key=lambda row: (row["rule"], -row["times"], row["anchor"]))


def _grams(tree: GramTree) -> Grams:
    from compute.adapters.spaces import from_tree

    return from_tree(tree)


def _seeds(start: int, tasks: Sequence[str]) -> dict[str, int]:
    """Give each task a seed of its own, which no other choice of tasks changes."""
    return {task: derived_seed(start, task) for task in tasks}
