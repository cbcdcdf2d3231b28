"""TSV-M: give each source its own share of every matrix' directions, and make them orthogonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.merging.arrays import namespace
from compute.merging.method import merge_method
from compute.merging.spectra import is_matrix, polar, svd
from compute.merging.steps import weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Merged
    from compute.merging.vectors import TaskVectors


@merge_method(title="TSV-M", paper="https://arxiv.org/abs/2412.00081", idempotent=False)
def tsv_m(vectors: TaskVectors, coefficients: Array, *, scale: float = 1.0) -> Merged:
    """Merge a matrix [m, n] to θ₀ + *scale* · P(U) diag(S) P(V)ᵀ.

    U [m, N r], S [N r] and V [n, N r] hold side by side the r = min(m, n) // N largest singular values and vectors of
    every τᵢ, the values times N wᵢ / Σ w; P(U) is the orthogonal matrix nearest to U, its polar factor. Any other
    tensor, the word embeddings, and matrices of fewer than N rows or columns get *scale* times the mean of the task
    vectors, weighted by the *coefficients* [N]. Each matrix is held in memory as a whole, once for each source.

    Gargiulo et al. 2025; AntoAndGar/task_singular_vectors. Equal coefficients, of whatever size, are the method of the
    authors, who know no others, use a scale of 1 or search it, and treat all matrices so but CLIP's text projection.
    Their rank is int(min(m, n) · (1 / N)), one less where 1 / N is rounded down and N divides min(m, n), as for N = 49;
    where it is 0, a matrix stays the base's. Directions of singular value 0 play no part here; in theirs they are
    whatever the decomposition makes up. Equal experts merge to their r largest directions alone, not to themselves.
    """
    rank = min(vectors.tensor.shape, default=0) // len(vectors.sources)
    if rank == 0 or not is_matrix(vectors.tensor):
        shares = coefficients / coefficients.sum()
        return lambda chunk: scale * weighted_sum(chunk, shares)
    task_vectors = vectors.whole()
    xp = namespace(task_vectors)
    parts = [svd(matrix).first(rank) for matrix in task_vectors]
    left = polar(xp.concat([part.left for part in parts], axis=1))
    right = polar(xp.concat([part.right for part in parts], axis=0))
    relative = coefficients * (len(parts) / coefficients.sum())
    values = [float(weight) * part.values for weight, part in zip(relative, parts, strict=True)]
    return xp.astype(scale * (left * xp.concat(values)) @ right, task_vectors.dtype)
