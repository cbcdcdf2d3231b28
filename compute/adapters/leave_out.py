"""Many adapters translated at once, each by all candidates but itself. Knows inner products and methods, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np

from compute.adapters.adapter import Adapter
from compute.adapters.diagnostics import agreement, cka
from compute.adapters.material import Material, Weight
from compute.adapters.method import bind_options, load_method, method_info
from compute.adapters.problem import Floats, Grams, Problem, Space
from compute.adapters.ridge import leave_one_out
from compute.adapters.spaces import matched, problem
from compute.adapters.translate import combine, combine_many, translate

Options = Mapping[str, bool | int | float | str]
Bases = tuple[Weight | None, Weight | None]


def problems(
    x: Grams,
    y: Grams,
    tasks: Sequence[str],
    candidates: Sequence[str],
    domains: Mapping[str, str],
    seeds: Mapping[str, int],
    *,
    truth: bool,
) -> dict[str, Problem]:
    """Describe the translation of each of *tasks* by all *candidates* but itself.

    Candidates without adapters on both models are left out, as are tasks without one on X or without any anchor. With
    *truth*, tasks without one on Y are left out, too.
    """
    both = [task for task in candidates if task in x.tasks and task in y.tasks]
    led = [task for task in tasks if any(one != task for one in both)]
    wanted = [task for task in led if task in x.tasks and (task in y.tasks or not truth)]
    return {
        task: problem(x, y, task, [one for one in both if one != task], domains, seed=seeds[task], truth=truth)
        for task in wanted
    }


def translate_all(
    found: Mapping[str, Problem],
    y: Mapping[str, Adapter],
    method: str,
    options: Options,
    space: Space,
    *,
    x: Mapping[str, Adapter] | None = None,
    bases: Bases = (None, None),
) -> dict[str, Adapter]:
    """Translate the adapters of all problems *found*, by anchors of *y*.

    *x* and *bases* are for methods that make an adapter themselves. Methods that give weights share the work that does
    not depend on the weights.
    """
    if not found:
        return {}
    if method_info(method).gives == "adapter":
        materials = {
            task: Material((x or {})[task], {name: y[name] for name in one.anchors}, *bases)
            for task, one in found.items()
        }
        return {task: translate(method, options, one, materials[task], space) for task, one in found.items()}
    weights = {task: weigh(one, method, options) for task, one in found.items()}
    if space == "b":  # where A is the mean of the anchors, so that nothing can be shared
        return {task: combine(weights[task], [y[name] for name in one.anchors], space) for task, one in found.items()}
    names = list(dict.fromkeys(name for one in found.values() for name in one.anchors))
    spread = np.stack([_spread(weights[task], one.anchors, names) for task, one in found.items()])
    return dict(zip(found, combine_many(spread, [y[name] for name in names], space), strict=True))


def weigh(one: Problem, method: str, options: Options) -> Floats:
    """Return the weights that *method* gives the anchors of a problem [groups of Y, anchors]."""
    weights: Floats = load_method(method)(one, **bind_options(method, options))
    return weights


def diagnose(
    x: Grams, y: Grams, found: Mapping[str, Problem], method: str, options: Options
) -> dict[str, float | None]:
    """Average over problems how near the predictions come to the tasks' own adapters on Y, and the best to be had.

    `cka` compares the two sets of adapters (see diagnostics.cka, debiased), `ceiling_r2` is the r² of span_ceiling, and
    the others are those of diagnostics.Agreement. None where there is nothing to compare.
    """
    each = [agreement(one, weigh(one, method, options))._asdict() for one in found.values()]
    best = [agreement(one, weigh(one, "span_ceiling", {})).r2 for one in found.values()]
    shared = [task for task in x.tasks if task in y.tasks]
    alike = cka(*(_among(grams, shared) for grams in (x, y)), debiased=True)
    means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    known = {**means, "cka": alike, "ceiling_r2": float(np.mean(best))}
    return {name: None if isnan(value) else value for name, value in known.items()}


def left_out_error(x: Grams, y: Grams, anchors: Sequence[str], relative_lambda: float) -> float:
    """Return the error of predicting each anchor from the others by ridge, tensor by tensor, relative to the mean's.

    Averaged over the tensors of Y; 1 is as good as predicting the mean of the others.
    """
    both = [task for task in anchors if task in x.tasks and task in y.tasks]
    gram = _among(x, both)[matched(x.groups, y.groups)]
    return float(leave_one_out(gram, _among(y, both), np.array([relative_lambda])).mean())


def _among(grams: Grams, tasks: Sequence[str]) -> Floats:
    places = [grams.tasks.index(task) for task in tasks]
    return grams.values[:, places][:, :, places]


def _spread(weights: Floats, anchors: Sequence[str], names: Sequence[str]) -> Floats:
    """Write weights of *anchors* as weights of *names*, among which they are; the others get zero."""
    wide = np.zeros((len(weights), len(names)))
    wide[:, [names.index(name) for name in anchors]] = weights
    return wide
