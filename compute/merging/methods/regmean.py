"""RegMean: the linear layers whose outputs are nearest to those of all experts on their own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.steps import weighted_sum
from compute.weights.weights import TensorInfo

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors

MOST_ALPHA = 1 - 1e-6
"""Inputs that depend on each other linearly have a Gram matrix without an inverse; shrunk this little, it has one."""


@merge_method(title="RegMean", paper="https://arxiv.org/abs/2212.09849", needs_base=False, data=("grams",))
def regmean(vectors: TaskVectors, coefficients: Array, *, alpha: float = 0.9) -> Combine | Array:
    """Merge linear layers W [out, in] to Wᵀ = (Σ wᵢ G'ᵢ)⁻¹ Σ wᵢ G'ᵢ Wᵢᵀ, and all else to the weighted average.

    Gᵢ = Xᵢᵀ Xᵢ [in, in] are inner products of the inputs of the layer in expert i, as compute.models.grams computes
    them, and G'ᵢ is Gᵢ with the entries off the diagonal times *alpha*. `vectors.data["grams"]` maps each source to
    its Gᵢ by the name of the layer's weight. *coefficients* [N] may be of any scale; an expert of larger or more
    inputs weighs more.

    Jin et al. 2023, equation 2 and section 3.3: alpha is 0.9 there, 0.1 for T5; 0 weighs each input by itself, 1
    solves the regression itself, whose solution need not be unique. So no more than 0.999999 is taken; and an input
    that is always 0 is averaged. Solved in float64, as a correction of the weighted average, so that equal experts
    give the expert. A whole tensor of all experts is in memory at once.

    Raises ValueError unless 0 <= alpha <= 1, and UsageError where a Gram matrix is missing, does not fit or is not
    finite.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is the share of a Gram matrix kept off its diagonal, in [0, 1], not {alpha}")
    shares = coefficients / coefficients.sum()
    grams = _grams(vectors.data["grams"], vectors.sources, vectors.tensor)
    if not grams:
        return lambda chunk: weighted_sum(chunk, shares)
    layers = vectors.whole()
    xp = namespace(layers)
    mean = weighted_sum(layers, shares)
    inner = vectors.tensor.columns
    left = xp.zeros((inner, inner), dtype=xp.float64, device=layers.device)
    right = xp.zeros((inner, vectors.tensor.rows), dtype=xp.float64, device=layers.device)
    for layer, share, gram in zip(layers, shares, grams, strict=True):
        product = xp.asarray(_shrunk(gram, alpha) * float(share), device=layers.device)
        left = left + product
        right = right + product @ xp.astype(layer - mean, xp.float64).T
    return mean + xp.astype(_solved(left, right).T, layers.dtype)


def _grams(given: Mapping[str, Any], sources: tuple[str, ...], tensor: TensorInfo) -> list[Any]:
    """Return the Gram matrix of each of *sources* for *tensor*; none if no source has any."""
    if missing := [source for source in sources if source not in given]:
        raise UsageError(f"no Gram matrices of expert {missing[0]}: there are those of {', '.join(given)}")
    found = {source: given[source][tensor.name] for source in sources if tensor.name in given[source]}
    if found and (missing := [source for source in sources if source not in found]):
        raise UsageError(
            f"no Gram matrix of expert {missing[0]} for {tensor.name}, while expert {next(iter(found))} has one"
        )
    for source, gram in found.items():
        expected = (tensor.columns, tensor.columns)
        if len(tensor.shape) != 2 or tuple(gram.shape) != expected:
            what = f"{tuple(gram.shape)}, expected {expected} for a layer of shape {tensor.shape}"
            raise UsageError(f"the Gram matrix of expert {source} for {tensor.name} has shape {what}")
    return list(found.values())


def _shrunk(gram: Any, alpha: float) -> NDArray[np.float64]:
    """Return *gram* [in, in] in float64 with the entries off its diagonal times *alpha*."""
    matrix: NDArray[np.float64] = np.asarray(gram, dtype=np.float64)
    if not np.isfinite(matrix).all():
        raise UsageError("a Gram matrix has infinite or missing numbers: compute it anew, in float32 or wider")
    shrunk = matrix * min(alpha, MOST_ALPHA)
    np.fill_diagonal(shrunk, matrix.diagonal())
    return shrunk


def _solved(left: Array, right: Array) -> Array:
    """Solve *left* [in, in] · x = *right* [in, out], scaled to a diagonal of ones; 0 where the diagonal is 0."""
    xp = namespace(left)
    diagonal = xp.linalg.diagonal(left)
    used = diagonal > 0
    scale = xp.where(used, 1 / xp.sqrt(xp.where(used, diagonal, xp.ones_like(diagonal))), xp.zeros_like(diagonal))
    unused = xp.astype(~used, xp.float64) * xp.eye(len(scale), dtype=xp.float64, device=left.device)
    return scale[:, None] * xp.linalg.solve(scale[:, None] * left * scale + unused, scale[:, None] * right)
