"""Singular value decompositions as merge methods need them, and which tensors are matrices. Knows no merge method."""

from __future__ import annotations

from typing import NamedTuple

from compute.merging.arrays import Array, namespace
from compute.merging.recipe import EMBEDDINGS
from compute.weights.weights import TensorInfo

_ROUNDING = 1e-6
"""A singular value below this share of the matrix' norm may be nothing but the rounding of fp32 numbers."""


class Svd(NamedTuple):
    """The decomposition U diag(S) Vᵀ of a matrix [m, n], k = min(m, n), largest values first, in float64."""

    left: Array
    """U [m, k]."""
    values: Array
    """S [k]."""
    right: Array
    """Vᵀ [k, n]."""

    def first(self, rank: int) -> Svd:
        """Return the part of the *rank* largest values."""
        return Svd(self.left[:, :rank], self.values[:rank], self.right[:rank])


def is_matrix(tensor: TensorInfo) -> bool:
    """Whether *tensor* maps vectors to vectors, so that its singular values mean something: not so embeddings."""
    return len(tensor.shape) == 2 and not EMBEDDINGS.search(tensor.name)


def svd(matrix: Array) -> Svd:
    """Decompose *matrix* [m, n]; directions of singular value zero, which are not determined, are zeros.

    Zero is what the rounding of fp32 entries can make of it: a millionth of the matrix' norm. Works on the
    eigenvalues of the smaller of M Mᵀ and Mᵀ M in float64, several times as fast as a decomposition of M itself, and
    for entries in fp32 as exact.
    """
    if matrix.shape[0] < matrix.shape[1]:
        left, values, right = svd(matrix.T)
        return Svd(right.T, values, left.T)
    xp = namespace(matrix)
    matrix = xp.astype(matrix, xp.float64)
    squares, vectors = xp.linalg.eigh(matrix.T @ matrix)
    squares, vectors = xp.flip(squares, axis=0), xp.flip(vectors, axis=1)
    there = squares > _ROUNDING**2 * xp.sum(squares)
    values = xp.sqrt(xp.where(there, squares, xp.zeros_like(squares)))
    right = xp.where(there, vectors, xp.zeros_like(vectors))
    return Svd(matrix @ right / xp.where(there, values, xp.ones_like(values)), values, right.T)


def polar(matrix: Array) -> Array:
    """Return the orthogonal matrix nearest to *matrix* [m, n], U Vᵀ of its decomposition, in float64.

    Of a matrix whose columns (or rows) are linearly dependent, the partial isometry: what is nothing stays nothing.
    """
    left, _, right = svd(matrix)
    return left @ right
