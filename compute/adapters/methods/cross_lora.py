"""Translation without anchors, through the singular vectors of both base models' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compute.adapters.adapter import Adapter, Factors
from compute.adapters.method import translation_method
from compute.adapters.spaces import groups, matched
from compute.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compute.adapters.adapter import Floats
    from compute.adapters.material import Material
    from compute.adapters.problem import Problem


@translation_method(
    title="Singular subspaces of the base models, without anchors",
    source="after Cross-LoRA, https://arxiv.org/abs/2508.05232, and LoRA-X, https://arxiv.org/abs/2501.16559",
    role="translation",
    gives="adapter",
    needs_bases=True,
)
def cross_lora(problem: Problem, material: Material, *, rank: int = 0) -> Adapter:
    """Carry the adapter of X over by the base models' weights alone: B̂ = U_t U_sᵀ B and Â = A V_s V_tᵀ.

    For each module of Y and the module of X at the same depth, U_s [out, k] and V_s [in, k] are the leading singular
    vectors of X's base weight, U_t and V_t those of Y's. Of all P, P = U_t U_sᵀ is the smallest that minimises
    ‖P U_s − U_t‖, and likewise for V, so that ΔW = s B̂ Â is P_U ΔW_X P_Vᵀ; it is never formed. k is the smallest side
    of the two weights, or *rank* where that is not 0 and smaller. The adapter keeps its rank and scale.

    In the spirit of the two papers: no code of theirs was run, how exactly Cross-LoRA shifts was not checked, and no
    number of theirs is claimed. Singular vectors are paired by their order; a sign that each pair (u, v) is free to
    take, which between unrelated models means nothing, is settled so that the entry of u largest in magnitude is
    positive.
    Otherwise than in LoRA-X, models of equal widths are treated as all others, where it projects by U_t U_tᵀ and
    V_t V_tᵀ, and every module is carried over, however little its subspaces agree. Raises UsageError for a negative
    *rank*.
    """
    if rank < 0:
        raise UsageError(f"rank of cross_lora must be 0, for all singular vectors, or more, not {rank}")
    if material.base_x is None or material.base_y is None:
        raise ValueError("cross_lora needs the weights of both base models")
    query, anchor = material.query, next(iter(material.anchors.values()))
    sources, wanted = groups(query, "delta"), groups(anchor, "delta")
    modules = {}
    for (place, _), number in zip(wanted, matched(sources, wanted), strict=True):
        source, name = sources[number].place, anchor.places[place]
        weights = material.base_x(query.places[source]), material.base_y(name)
        modules[name] = _carried(query[source], *weights, rank)
    return Adapter(modules)


def _carried(one: Factors, source: Floats, target: Floats, rank: int) -> Factors:
    k = min(*source.shape, *target.shape)
    k = min(k, rank) if rank else k
    (source_left, source_right), (target_left, target_right) = _subspaces(source, k), _subspaces(target, k)
    a = (one.a @ source_right) @ target_right.T
    b = target_left @ (source_left.T @ one.b)
    return Factors(np.asarray(a, np.float32), np.asarray(b, np.float32), one.scale)


def _subspaces(weight: Floats, k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the *k* leading left and right singular vectors of a weight, as columns."""
    left, _, right = np.linalg.svd(weight, full_matrices=False)
    left, right = left[:, :k], right[:k].T
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(k)])
    return left * signs, right * signs
