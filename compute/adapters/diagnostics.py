"""What inner products and factors tell about adapters and translations, before any model is asked. Knows no method."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from compute.adapters.adapter import Adapter, Place
from compute.adapters.components import NOISE, centred
from compute.adapters.problem import Floats, Problem

HALF = 0.5
"""Adapters A₀ + D of one start A₀ and unrelated changes D, all of a length, have a cosine of |A₀|²/(|A₀|² + |D|²):
above one half, the start is longer than what training added."""

DEVIATIONS = 4.0
"""How many standard deviations of chance, 1/√entries, a cosine of independent draws may be away from 0."""


def cka(x: Floats, y: Floats, *, debiased: bool = False) -> float:
    """Compute the linear CKA of two sets of n adapters, of the same tasks in the same order, in [0, 1].

    *x* and *y* are inner products [n, n] or [groups, n, n], which are summed. With Grams centred, tr(K̃ L̃)/(‖K̃‖ ‖L̃‖):
    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414. Where adapters have far more entries than there are tasks,
    this is near 1 even between unrelated ones, for then all are about as far apart: *debiased* takes the unbiased
    estimate of Song et al. 2012, https://www.jmlr.org/papers/v13/song12a.html, which is 0 then on average and may be
    below 0. NaN if either set does not vary, and for a debiased one of fewer than four tasks.
    """
    x, y = (each.reshape(-1, *each.shape[-2:]).sum(axis=0) for each in (x, y))
    if debiased and len(x) < 4:
        return math.nan
    product = _unbiased if debiased else _biased
    own = [(product(each, each), NOISE**2 * float(np.sum(each**2))) for each in (x, y)]
    if any(size <= rounding for size, rounding in own):
        return math.nan
    return product(x, y) / math.sqrt(own[0][0] * own[1][0])


def _biased(x: Floats, y: Floats) -> float:
    return float(np.sum(centred(x) * centred(y)))


def _unbiased(x: Floats, y: Floats) -> float:
    n = len(x)
    x, y = x - np.diag(np.diag(x)), y - np.diag(np.diag(y))
    crossed = 2 * float(x.sum(axis=0) @ y.sum(axis=0)) / (n - 2)
    return (float(np.sum(x * y)) + float(x.sum() * y.sum()) / ((n - 1) * (n - 2)) - crossed) / (n * (n - 3))


class Agreement(NamedTuple):
    """How near a translation ŷ is to the adapter y* that was trained, both as wholes, over all groups.

    `r2` is 1 − ‖y* − ŷ‖²/‖y* − ȳ‖², against the anchors' mean ȳ; `cosine` is that of ŷ − ȳ with y* − ȳ; `norm` is
    ‖ŷ‖/‖y*‖; `effective`, the number of anchors 1/Σ c² that the weights come to, averaged over groups. NaN where
    there is nothing to compare, as the cosine of the mean itself.
    """

    r2: float
    cosine: float
    norm: float
    effective: float


def agreement(problem: Problem, weights: Floats) -> Agreement:
    """Compare the translation by *weights* [gy, n] with the task's own adapter on Y, which the problem must know.

    Raises ValueError if it does not.
    """
    if problem.truth is None or problem.size is None:
        raise ValueError("the problem does not know the task's own adapter on Y")
    mean = np.full_like(weights, 1 / len(problem))
    step = weights - mean
    whole = _inner(problem.y, mean, mean)
    from_mean = float(np.sum(problem.size - 2 * _dots(mean, problem.truth) + whole))
    left = float(np.sum(problem.size - 2 * _dots(weights, problem.truth) + _inner(problem.y, weights, weights)))
    along = float(np.sum(_dots(step, problem.truth) - _inner(problem.y, step, mean)))
    moved = float(np.sum(_inner(problem.y, step, step)))
    length = float(np.sum(_inner(problem.y, weights, weights)))
    return Agreement(
        r2=1 - _ratio(left, from_mean),
        cosine=_ratio(along, math.sqrt(max(0.0, moved * from_mean))),
        norm=math.sqrt(_ratio(max(0.0, length), float(np.sum(problem.size)))),
        effective=float(np.mean(1 / np.sum(weights**2, axis=1))),
    )


def _inner(gram: Floats, left: Floats, right: Floats) -> Floats:
    return np.asarray(np.einsum("gi,gij,gj->g", left, gram, right))


def _dots(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.einsum("gi,gi->g", left, right))


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else math.nan


def hubs(selections: Iterable[Sequence[str]], anchors: Iterable[str]) -> dict[str, int]:
    """Count in how many *selections* each of the *anchors* is: a hub is in far more than its share."""
    counted = Counter(name for chosen in selections for name in set(chosen))
    return {name: counted[name] for name in anchors}


class Start(NamedTuple):
    """Whether all adapters of a model began training from the same A; `why` says how that is known, or that it is not.

    `a_cosine` and `b_cosine` are the mean cosines between the A (all modules as one vector) of different tasks, and
    between their B; NaN where there are none to compare.
    """

    a_cosine: float
    b_cosine: float
    shared: bool
    why: str


def same_start(adapters: Mapping[str, Adapter]) -> Start:
    """Judge by the factors as they are stored whether the *adapters*, by task, share one A₀.

    B starts at zero, so A alone can tell. Draws of their own make cosines of 0 ± 1/√entries, and within chance is what
    is no farther from 0 than four times that. "Shared" needs a cosine of at least one half between every two tasks;
    "shared by some", such a cosine between two tasks and one within chance between others; "not shared", a mean
    within chance. Else, or where the A cannot be compared, it cannot be told. `shared` is True in the first case
    alone. A start is lost to sight if adapters were factored anew, or trained until little of A₀ was left.
    """
    if len(adapters) < 2:
        return _unknown("there are no two adapters to compare")
    if len({_shapes(one) for one in adapters.values()}) > 1:
        return _unknown("adapters differ in modules, ranks or widths")
    a, b = (_cosines(adapters, part) for part in ("a", "b"))
    entries = sum(one.a.size for one in next(iter(adapters.values())).modules.values())
    return Start(float(a.mean()), float(b.mean()), bool(a.min() >= HALF), _why(a, DEVIATIONS / math.sqrt(entries)))


def _unknown(why: str) -> Start:
    return Start(math.nan, math.nan, False, f"cannot be told: {why}")


def _shapes(adapter: Adapter) -> tuple[tuple[Place, tuple[int, ...], tuple[int, ...]], ...]:
    return tuple((place, adapter[place].a.shape, adapter[place].b.shape) for place in adapter.places)


def _cosines(adapters: Mapping[str, Adapter], part: str) -> Floats:
    """Compute the cosines of all pairs, module by module, so that no two adapters need be whole in memory."""
    names = list(next(iter(adapters.values())).places)
    gram = np.zeros((len(adapters), len(adapters)))
    for place in names:
        rows = np.stack([np.ravel(getattr(one[place], part)).astype(np.float64) for one in adapters.values()])
        gram += rows @ rows.T
    sizes = np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    cosines = np.divide(gram, sizes, out=np.full_like(gram, np.nan), where=sizes > 0)
    return np.asarray(cosines[np.triu_indices(len(gram), 1)])


def _why(cosines: Floats, chance: float) -> str:
    mean, least, most = (float(number) for number in (cosines.mean(), cosines.min(), cosines.max()))
    if math.isnan(mean):
        return "cannot be told: an A is zero"
    if least >= HALF:
        return f"shared: the A of any two tasks have a cosine of at least {least:.2f}, more than half in common"
    if most >= HALF and least <= chance:
        return f"shared by some: cosines between the A of different tasks reach from {least:.2f} to {most:.2f}"
    if abs(mean) <= chance:
        return (
            f"not shared: the A of different tasks are no more alike (mean cosine {mean:.3f}) than separate draws are"
        )
    return (
        f"cannot be told: the A of different tasks are more alike (mean cosine {mean:.2f}, lowest {least:.2f}) than "
        f"separate draws are (within {chance:.3f} of 0), but some have less than half in common"
    )
