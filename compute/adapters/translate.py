"""From the weights of anchors to an adapter of model Y. Knows adapters and methods, no file and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.adapter import Floats as Singles
from compute.adapters.material import Material
from compute.adapters.method import MethodInfo, bind_options, load_method, method_info
from compute.adapters.problem import Floats, Problem, Space
from compute.adapters.spaces import PARTS, check
from compute.errors import UsageError

NOISE = 1e-14
"""Squared singular values below this share of what they are summed from are rounding, and taken as zero."""


def translate(
    method: str, options: Mapping[str, object], problem: Problem, material: Material, space: Space
) -> Adapter:
    """Return the adapter of Y that *method* makes of *problem*, with *options*, and of *material* if it asks for it.

    *space* must be that of the problem's inner products. UsageError for an unknown method or option, or for one that
    needs to know more than problem or material tell.
    """
    info, bound = method_info(method), bind_options(method, options)
    _check_demands(info, problem, material)
    if info.gives == "adapter":
        made: Adapter = load_method(method)(problem, material, **bound)
        return made
    weights: Floats = load_method(method)(problem, **bound)
    return combine(weights, [material.anchors[name] for name in problem.anchors], space)


def _check_demands(info: MethodInfo, problem: Problem, material: Material) -> None:
    """Raise UsageError if a method needs to know what it cannot."""
    if info.needs_truth and problem.truth is None:
        raise UsageError(f"{info.name} needs the task's own adapter on Y, which this problem does not tell")
    if info.needs_bases and (material.base_x is None or material.base_y is None):
        raise UsageError(f"{info.name} needs the weights of both base models: name both")


def combine(weights: Floats, anchors: Sequence[Adapter], space: Space) -> Adapter:
    """Return the adapter that *weights* [groups, n] make of *anchors*; see `combine_many`."""
    return combine_many(weights[None], anchors, space)[0]


def combine_many(weights: Floats, anchors: Sequence[Adapter], space: Space) -> list[Adapter]:
    """Return the adapters that *weights* [adapters, groups, n] make of *anchors*, sharing what does not depend on them.

    Groups are in the order of compute.adapters.spaces.groups. In "factor", A and B are each the weighted sum; in "b",
    B is and A is the plain mean. In "delta", B A is the best approximation of Σ c_i ΔW_i of the anchors' rank (the
    largest, where they differ), with the singular values shared between B and A evenly; its scale is the anchors' own
    if they have one, else 1. UsageError if the anchors do not fit together in *space*.

    To translate each task by all others, give all adapters and the weight 0 to a task's own: what is shared is most of
    the work.
    """
    check({f"anchor {number}": one for number, one in enumerate(anchors, start=1)}, space)
    step = len(PARTS[space])
    modules: list[dict[str, Factors]] = [{} for _ in weights]
    for number, (place, name) in enumerate(anchors[0].places.items()):
        shares = weights[:, number * step : (number + 1) * step]
        for made, factors in zip(modules, _COMBINED[space]([one[place] for one in anchors], shares), strict=True):
            made[name] = factors
    return [Adapter(made) for made in modules]


def _factors(sources: Sequence[Factors], weights: Floats) -> list[Factors]:
    """Combine A and B of one module each by its own weights [adapters, 2, n]."""
    found = (_sums([one.a for one in sources], weights[:, 0]), _sums([one.b for one in sources], weights[:, 1]))
    return [Factors(a, b, sources[0].scale) for a, b in zip(*found, strict=True)]


def _outputs(sources: Sequence[Factors], weights: Floats) -> list[Factors]:
    """Combine B of one module by weights [adapters, 1, n]; A is the mean."""
    evenly = np.full((1, len(sources)), 1 / len(sources))
    a = _sums([one.a for one in sources], evenly)[0]
    return [Factors(a, b, sources[0].scale) for b in _sums([one.b for one in sources], weights[:, 0])]


def _sums(arrays: Sequence[Singles], weights: Floats) -> Singles:
    """Return the weighted sums of arrays of one shape [sums, *shape], float32."""
    rows = np.array([array.ravel() for array in arrays])
    return np.asarray((weights.astype(np.float32) @ rows).reshape(-1, *arrays[0].shape), np.float32)


def _deltas(sources: Sequence[Factors], weights: Floats) -> list[Factors]:
    """Combine ΔW of one module by weights [adapters, 1, n], truncated to the sources' rank."""
    scales = {one.scale for one in sources}
    scale = scales.pop() if len(scales) == 1 else 1.0
    stacks, ranks = _Stacks.of(sources), [one.rank for one in sources]
    shares = np.repeat(weights[:, 0] * [one.scale / scale for one in sources], ranks, axis=-1)
    return [Factors(*stacks.truncated(share, max(ranks)), scale) for share in shares]


@dataclass(frozen=True)
class _Stacks:
    """All A of one module on top of each other, [m, in], all B side by side, [out, m], and what sums of B A need.

    Σ c_i B_i A_i = B D A with D diagonal: only D depends on the weights. With AAᵀ = RᵀR, its singular values and right
    vectors are those of B D Rᵀ, whose Gram (R D) BᵀB (R D)ᵀ is as small as the sum of all ranks, so the tall stacks
    need no QR. Float64 makes up for the squares of singular values: the error is that of float32 in B D A itself.
    """

    a: Singles
    b: Singles
    root: Floats
    inner: Floats

    @staticmethod
    def of(sources: Sequence[Factors]) -> _Stacks:
        """Stack the factors of one module; R is the square root of AAᵀ by its eigenvectors, which takes any rank."""
        a, b = np.concatenate([one.a for one in sources]), np.concatenate([one.b for one in sources], axis=1)
        exact = a.astype(np.float64)
        values, vectors = np.linalg.eigh(exact @ exact.T)
        tall = b.astype(np.float64)
        return _Stacks(a, b, (vectors * np.sqrt(values.clip(0))).T, tall.T @ tall)

    def truncated(self, share: Floats, rank: int) -> tuple[Singles, Singles]:
        """Return A [rank, in] and B [out, rank], of which B A is nearest to B D A, D being diag(*share*).

        The singular values go to both by their roots. The largest entry of each row of A is positive.
        """
        scaled = self.root * share
        squares, vectors = np.linalg.eigh(scaled @ self.inner @ scaled.T)
        squares, right = squares[: -rank - 1 : -1], scaled.T @ vectors[:, : -rank - 1 : -1]
        noise = NOISE * (scaled**2).sum() * np.linalg.norm(self.inner)
        inverse = np.where(squares > noise, np.maximum(squares, noise or 1) ** -0.25, 0)
        left = (self.inner @ (right * inverse**3)).T * share
        a, b = left.astype(np.float32) @ self.a, self.b @ (right * inverse).astype(np.float32)
        signs = np.where(np.take_along_axis(a, np.abs(a).argmax(axis=1)[:, None], axis=1) < 0, -1, 1).astype(np.float32)
        return a * signs, b * signs.T


_COMBINED = {"factor": _factors, "b": _outputs, "delta": _deltas}
