"""DELLA: drop entries at random, small ones rather than large ones, then elect signs and average what agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from compute.merging.arrays import namespace
from compute.merging.dare import norm_factors
from compute.merging.method import merge_method
from compute.merging.ranks import magnitude_ranks
from compute.merging.steps import Divide, trim_elect_merge, weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Chunk, Combine
    from compute.merging.vectors import TaskVectors


@merge_method(
    title="DELLA",
    paper="https://arxiv.org/abs/2406.11617",
    extras=("lots",),
    neutral={"density": 1.0, "epsilon": 0.0},
)
def della(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    density: float = 0.5,
    epsilon: float = 0.05,
    rescale: Literal["probability", "norm"] = "probability",
    ties: bool = True,
    divide: Divide = "weights",
    scale: float = 1.0,
) -> Combine:
    """Drop entries of the task vectors τᵢ at random by their rank, elect signs, and merge what agrees, times *scale*.

    1. Drop (MagPrune): an entry stays with probability p = *density* − *epsilon* + 2 *epsilon* · r / (c − 1), where r
       is its rank by magnitude among the c entries of its row, 0 for the smallest; one alone stays with p = density. A
       tensor of one dimension is one row. What stays is divided by its own "probability", so that the mean over seeds
       is τᵢ, or each tensor of each source is scaled to the sum of magnitudes it had before ("norm").
    2. Elect the sign of the sum of what stays, weighted by *coefficients* [N]; + where it is 0.
    3. Merge the entries of that sign, as TIES does: Σ wᵢ τᵢ divided by the *weights* Σ wᵢ that agree, by their
       *count*, or by "none". Without *ties*, steps 2 and 3 are the plain sum Σ wᵢ τᵢ.

    Deep et al. 2024. The code of its authors (declare-lab/della) divides by p; `della` in mergekit scales by "norm", as
    does `della_linear`, which is without ties. Entries that tie have ranks in their order. The lots depend on the
    recipe's seed, source, tensor and index alone.

    Raises ValueError unless 0 < density − epsilon and density + epsilon <= 1.
    """
    if not (epsilon >= 0 and density - epsilon > 0 and density + epsilon <= 1 + 1e-9):
        raise ValueError(f"density ± epsilon are probabilities, in (0, 1], not {density} ± {epsilon}")
    factors = _norm_factors(vectors, density, epsilon) if rescale == "norm" else None

    def combine(chunk: Chunk, lots: Array) -> Array:
        kept = _drop(chunk, lots, density, epsilon, divided=factors is None)
        if factors is not None:
            kept = kept * factors
        if ties:
            return trim_elect_merge(kept, coefficients, votes=coefficients, divide=divide, scale=scale)
        return scale * weighted_sum(kept, coefficients)

    return combine


def _drop(chunk: Chunk, lots: Array, density: float, epsilon: float, *, divided: bool) -> Chunk:
    """Zero the entries of *chunk* [N, rows, columns] whose lot is not below their probability; divide others by it."""
    xp = namespace(chunk)
    least, step = density - epsilon, 2 * epsilon / max(1, chunk.shape[2] - 1)
    if chunk.shape[2] == 1:
        least = density
    probability = least + step * xp.astype(magnitude_ranks(chunk), chunk.dtype)
    return xp.where(lots < probability, chunk / probability if divided else chunk, 0 * chunk)


def _norm_factors(vectors: TaskVectors, density: float, epsilon: float) -> Array:
    """Return the factors [N, 1, 1] that give what stays of each source the sum of magnitudes before."""

    def magnitudes(chunk: Chunk, lots: Array) -> Array:
        xp = namespace(chunk)
        kept = _drop(chunk, lots, density, epsilon, divided=False)
        return xp.stack([xp.sum(xp.abs(each), axis=(1, 2), dtype=xp.float64) for each in (chunk, kept)])

    before, after = vectors.sum(magnitudes, extras=("lots",))
    return vectors.bring(norm_factors(before, after)).reshape((-1, 1, 1))
