"""What adapters are compared by: inner products of their factors, or of ΔW. Knows adapters, no method and no file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compute.adapters.adapter import Adapter, Factors, Place
from compute.adapters.problem import Floats, Grams, Group, Problem, Space
from compute.errors import UsageError

PARTS: Mapping[Space, tuple[Literal["A", "B", "delta"], ...]] = {
    "factor": ("A", "B"),
    "b": ("B",),
    "delta": ("delta",),
}
"""What a module is made of in each space."""


def groups(adapter: Adapter, space: Space) -> tuple[Group, ...]:
    """Return the tensors of an adapter in *space*, sorted by layer, kind and part: the order of Grams and weights."""
    return tuple(Group(place, part) for place in adapter.places for part in PARTS[space])


def grams(adapters: Mapping[str, Adapter], space: Space) -> Grams:
    """Return the inner products of *adapters* in *space*, computed in float64, tasks in the mapping's order.

    In "factor" and "b" the factors are compared as they are stored, without the scale. In "delta" it is
    ⟨ΔW_i, ΔW_j⟩ = s_i s_j ⟨B_iᵀB_j, A_iA_jᵀ⟩, so that no ΔW is ever formed. UsageError if `check` refuses the adapters
    or a number in them is not finite.
    """
    check(adapters, space)
    found = list(adapters.values())
    wanted = groups(found[0], space)
    with np.errstate(invalid="ignore"):
        values = np.stack([_gram([one[group.place] for one in found], group.part) for group in wanted])
    sizes = np.diagonal(values, axis1=1, axis2=2)
    if broken := [name for name, own in zip(adapters, sizes.T, strict=True) if not np.isfinite(own).all()]:
        raise UsageError(f"adapters hold numbers that are not finite: {', '.join(broken)}; train them again")
    return Grams(tuple(adapters), wanted, values)


def to_tree(found: Grams) -> dict[str, Any]:
    """Turn Grams into a tree of plain values and one array, as the store keeps it."""
    groups = [[group.place.layer, group.place.kind, group.part] for group in found.groups]
    return {"tasks": list(found.tasks), "groups": groups, "values": found.values}


def from_tree(tree: Mapping[str, Any]) -> Grams:
    """Build the Grams that `to_tree` turned into *tree*."""
    groups = tuple(Group(Place(layer, kind), part) for layer, kind, part in tree["groups"])
    return Grams(tuple(tree["tasks"]), groups, tree["values"])


def check(adapters: Mapping[str, Adapter], space: Space) -> None:
    """Raise UsageError unless *adapters* can be compared and combined in *space*.

    All must adapt the same places, at least one, with inputs and outputs of the same size. Outside of "delta" they must
    also have the same rank and scale at each: sums of A and of B mean nothing otherwise.
    """
    if not adapters or not all(one.modules for one in adapters.values()):
        raise UsageError("no adapters to compare: expected at least one, and in each at least one module")
    (first, model), *others = adapters.items()
    expected = {place: _traits(model[place], space) for place in model.places}
    for name, one in others:
        for place in sorted(expected.keys() ^ one.places.keys()):
            has, lacks = (first, name) if place in expected else (name, first)
            raise UsageError(
                f"adapter {has!r} adapts {_named(place)} and adapter {lacks!r} does not: expected the same"
            )
        for place, traits in expected.items():
            for trait, value in _traits(one[place], space).items():
                if value != traits[trait]:
                    raise _unlike(f"{first!r} and {name!r}", place, trait, f"{traits[trait]} and {value}")


def _traits(factors: Factors, space: Space) -> dict[str, float]:
    """Return what must be the same at a place for adapters to be combined."""
    sizes = {"input size": factors.a.shape[1], "output size": factors.b.shape[0]}
    return sizes if space == "delta" else {**sizes, "rank": factors.rank, "scale": factors.scale}


def _unlike(names: str, place: Place, trait: str, values: str) -> UsageError:
    """Build the error for two adapters that differ in a trait."""
    hint = (
        "are they of one model?" if "size" in trait else 'their factors cannot be combined, but the space "delta" can'
    )
    return UsageError(f"adapters {names} differ in {trait} at {_named(place)}, {values}: {hint}")


def _named(place: Place) -> str:
    return f"{place.kind} of layer {place.layer}"


def _gram(factors: Sequence[Factors], part: str) -> Floats:
    """Return the inner products of one tensor of all adapters [n, n]."""
    if part == "delta":
        return _gram_of_deltas(factors)
    rows = np.array([(one.a if part == "A" else one.b).ravel() for one in factors], np.float64)
    return np.asarray(rows @ rows.T)


def _gram_of_deltas(factors: Sequence[Factors]) -> Floats:
    """Return the inner products of the ΔW of one module [n, n], from one product of all A and one of all B."""
    a = np.concatenate([one.a for one in factors], dtype=np.float64)
    b = np.concatenate([one.b for one in factors], axis=1, dtype=np.float64)
    starts = np.cumsum([0, *(one.rank for one in factors[:-1])])
    blocks = np.add.reduceat(np.add.reduceat((a @ a.T) * (b.T @ b), starts, axis=0), starts, axis=1)
    scales = np.array([one.scale for one in factors])
    return np.asarray(blocks * np.outer(scales, scales))


def matched(x: Sequence[Group], y: Sequence[Group]) -> NDArray[np.int64]:
    """Return for each group of Y the place in *x* of the group that stands for it [gy].

    It is of the same kind and part, at the same depth: the j-th of m adapted layers of Y takes the round(j (l − 1) /
    (m − 1))-th of X's l, halves up, so that first goes to first and last to last; a single one takes the middle.
    UsageError for a kind that X does not have.
    """
    ours = _lanes(x)
    match = np.empty(len(y), np.int64)
    for (kind, part), places in _lanes(y).items():
        if (kind, part) not in ours:
            known = ", ".join(sorted({kind for kind, _ in ours})) or "none"
            raise UsageError(
                f"adapters on X have no {kind} to translate Y's from: found {known}; adapt the same modules"
            )
        match[places] = _at_same_depth(ours[kind, part], len(places))
    return match


def _lanes(found: Iterable[Group]) -> dict[tuple[str, str], list[int]]:
    """Return the places of the groups of each kind and part, from the first layer to the last."""
    lanes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, group in sorted(enumerate(found), key=lambda item: item[1]):
        lanes[group.place.kind, group.part].append(place)
    return lanes


def _at_same_depth(places: Sequence[int], count: int) -> list[int]:
    """Spread *count* choices evenly over *places*, ends to ends."""
    last = len(places) - 1
    if count == 1:
        return [places[last // 2]]
    return [places[(2 * number * last + count - 1) // (2 * (count - 1))] for number in range(count)]


def problem(
    x: Grams,
    y: Grams,
    task: str,
    anchors: Sequence[str],
    domains: Mapping[str, str],
    *,
    seed: int = 0,
    truth: bool = False,
) -> Problem:
    """Return the problem of translating the adapter of *task* from X to Y by *anchors*, in their order.

    *domains* says the domain of the task and of every anchor. *truth* puts the task's own adapter on Y in, for ceilings
    and diagnostics. UsageError if an adapter is missing, if there is no anchor, or if the task is one.
    """
    if not anchors or task in anchors:
        raise UsageError(f"{task} must be translated by at least one other task, not by {', '.join(anchors) or 'none'}")
    at, there = _place(x, task, "X"), _place(y, task, "Y") if truth else None
    ours, theirs = ([_place(found, one, model) for one in anchors] for found, model in ((x, "X"), (y, "Y")))
    return Problem(
        anchors=tuple(anchors),
        domains=tuple(_domain(domains, one) for one in anchors),
        domain=_domain(domains, task),
        x=x.values[:, ours][:, :, ours],
        query=x.values[:, ours, at],
        norm=x.values[:, at, at],
        y=y.values[:, theirs][:, :, theirs],
        match=matched(x.groups, y.groups),
        seed=seed,
        truth=None if there is None else y.values[:, theirs, there],
        size=None if there is None else y.values[:, there, there],
    )


def _place(found: Grams, task: str, model: str) -> int:
    """Return where a task stands among Grams."""
    if task not in found.tasks:
        raise UsageError(f"no adapter of {task} on model {model}: train it, or leave the task out")
    return found.tasks.index(task)


def _domain(domains: Mapping[str, str], task: str) -> str:
    """Return the domain of a task."""
    if task not in domains:
        raise UsageError(f"the domain of {task} is not known: name it")
    return domains[task]
