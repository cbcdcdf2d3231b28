"""Principal components of adapters, from their inner products alone. Knows no adapter and no method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compute.adapters.problem import Floats
from compute.errors import UsageError

SMALLEST = 1e-10
"""A component whose variance is a smaller share of the first one's is left out: its direction is rounding."""

NOISE = 1e-10
"""Adapters whose spread is no more than this share of their squared norm count as equal: what rounding leaves."""


@dataclass(frozen=True)
class Components:
    """The k leading principal components of n adapters in each of g groups.

    The centred adapters are Σ_k σ_k u_k v_kᵀ: `vectors` [g, n, k] holds the u_k, `sizes` [g, k] the σ_k, falling. The
    directions v_k themselves are never formed. What a group has too few components for is zero.
    """

    gram: Floats
    vectors: Floats
    sizes: Floats

    def __len__(self) -> int:
        """Count the components, k."""
        return int(self.sizes.shape[1])

    @property
    def scores(self) -> Floats:
        """The coordinates of the centred adapters along the components, σ_k u_k, [g, n, k]."""
        return self.vectors * self.sizes[:, None]

    @property
    def inverse_sizes(self) -> Floats:
        """1/σ_k, and 0 for a component that is none, [g, k]."""
        return inverse(self.sizes)

    def scores_of(self, query: Floats) -> Floats:
        """Return the coordinates ⟨q − x̄, v_k⟩ [g, k] of an adapter by its inner products *query* [g, n] with the n."""
        pulled = centred_query(self.gram, query)
        return np.asarray(np.einsum("gi,gik,gk->gk", pulled, self.vectors, self.inverse_sizes))

    def weights(self, scores: Floats) -> Floats:
        """Return the weights [g, n], summing to one, that make x̄ + Σ_k s_k v_k of the n adapters; *scores* s [g, k].

        v_k = Σ_i u_ik (x_i − x̄)/σ_k, and every u_k sums to zero, so the weight of adapter i is 1/n + Σ_k s_k u_ik/σ_k.
        """
        moved = np.einsum("gk,gk,gik->gi", scores, self.inverse_sizes, self.vectors)
        return np.asarray(1 / self.vectors.shape[1] + moved)


def components(gram: Floats, count: int) -> Components:
    """Return the *count* leading components of n adapters, or n − 1 if that is fewer; *gram* [g, n, n], not centred.

    Signs are settled so that the entry of a u_k that is largest in magnitude is positive. Raises UsageError for a
    count below 1.
    """
    if count < 1:
        raise UsageError(f"the number of principal components must be at least 1, not {count}: give another rank")
    n = gram.shape[-1]
    kept = max(1, min(n - 1, count))
    variances, vectors = np.linalg.eigh(centred(gram))
    variances, vectors = variances[:, ::-1][:, :kept], vectors[:, :, ::-1][:, :, :kept]
    whole, spread = (np.trace(one, axis1=1, axis2=2) for one in (gram, centred(gram)))
    alive = (variances > SMALLEST * variances[:, :1]) & (spread > NOISE * whole)[:, None]
    return Components(gram, _signed(vectors) * alive[:, None], np.sqrt(np.where(alive, variances, 0.0)))


def centred(gram: Floats) -> Floats:
    """Return inner products [..., n, n] of the same vectors less their mean: H K H, with H = I − 11ᵀ/n."""
    rows = gram - gram.mean(axis=-1, keepdims=True)
    return np.asarray(rows - rows.mean(axis=-2, keepdims=True))


def centred_query(gram: Floats, query: Floats) -> Floats:
    """Return the inner products [..., n] of q − x̄ with x_i − x̄, given those of q with x_i: H (k − K1/n)."""
    apart = query - gram.mean(axis=-1)
    return np.asarray(apart - apart.mean(axis=-1, keepdims=True))


def inverse(values: Floats) -> Floats:
    """Return 1/v, and 0 where v is 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _signed(vectors: Floats) -> Floats:
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))
