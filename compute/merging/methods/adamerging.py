"""AdaMerging: coefficients that make the merged model sure of unlabelled examples, learnt by gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.merging.arrays import is_numpy, namespace
from compute.merging.method import merge_method
from compute.merging.steps import elect_sign, majority_sign, trim, weighted_sum

if TYPE_CHECKING:
    from compute.merging.arrays import Array, Combine
    from compute.merging.vectors import TaskVectors

Floats = NDArray[np.float64]

PIECE = {True: 1 << 16, False: 1 << 24}
"""Entries of a task vector that are multiplied with a gradient at once: with numpy, some rows of the embeddings."""


@merge_method(
    title="AdaMerging", paper="https://arxiv.org/abs/2310.02575", scope="model", data=("entropy",), idempotent=False
)
def adamerging(
    vectors: TaskVectors,
    coefficients: Array,
    *,
    layerwise: bool = True,
    steps: int = 500,
    start: float = 0.3,
    learning_rate: float = 1e-3,
    trimmed: bool = False,
    density: float = 0.2,
) -> dict[str, Combine]:
    """Merge to θ₀ + Σ λᵢ τᵢ, with coefficients λ that lower an objective: one a source, or one a source and tensor.

    Every λᵢ begins at *start*, or at 1/N if *start* is 0, times wᵢ / mean(w) of the *coefficients* w [N]. Then Adam
    (betas 0.9 and 0.999) takes *steps* of *learning_rate*. `vectors.data["entropy"]` is called with the merged
    weights, a mapping of tensor name to array, and the number of the step from 0; it returns the objective, such as
    the mean entropy of what the model predicts (compute.models.entropy), and its gradient by each weight; a weight
    without one has no influence. The gradient by λ follows as the inner product with τ: ∂L/∂λ = ⟨∂L/∂θ, τ⟩, so that
    no more than one network is needed. In the merge λ is cut to [0, 1], beyond which its gradient is 0.

    Yang et al. 2024, section 3; task-wise unless *layerwise*. *trimmed* is their AdaMerging++: of τ remain, as
    in TIES, the entries among the *density* largest of the model that have the elected sign. The code of the authors
    (EnnengYang/AdaMerging) starts from 0.3; 1/N is the choice where sources share one task, as languages do. It
    adapts on the very examples that it reports on: what the objective sees should be others.

    `vectors.data["learned"]`, if there, is called with the final λ, cut: tensor name to [N], in float64. With such a
    mapping in `vectors.data["coefficients"]` nothing is learnt: they are used. Equal experts do not merge to the
    expert, as the λᵢ need not sum to one. Learning holds the base, all task vectors, and the merged weights and
    their gradient in memory.

    Raises ValueError for negative steps or start, and UsageError where the objective or its gradient is not finite.
    """
    if steps < 0 or start < 0:
        raise ValueError(f"steps and start must not be negative, not {steps} and {start}")
    kept = _agreeing(vectors, density) if trimmed else _same
    learned = vectors.data.get("coefficients")
    if learned is None:
        first = _fractions(coefficients) * (start * len(vectors.sources) or 1)
        learned = _Learning(vectors, kept).learn(first, layerwise, steps, learning_rate)
        vectors.data.get("learned", _same)(learned)
    return {tensor.name: _combine(kept, vectors.bring(learned[tensor.name])) for tensor in vectors.tensors}


class _Learning:
    """The base and the task vectors of the whole model in memory, and how an objective of their merge changes."""

    def __init__(self, vectors: TaskVectors, kept: Callable[[Array], Array]) -> None:
        self.names = sorted(tensor.name for tensor in vectors.tensors)
        self._vectors = vectors
        self._base = {name: vectors.base(name) for name in self.names}
        self._changes = vectors.wholes()
        for name in self.names:
            self._changes[name] = kept(self._changes[name])

    def learn(self, first: Floats, layerwise: bool, steps: int, rate: float) -> dict[str, Floats]:
        """Return the coefficients [N] of each tensor after so many *steps* from *first* [N]."""
        raw = np.tile(first, (len(self.names), 1)) if layerwise else first
        adam = _Adam(raw.shape, rate)
        for step in range(steps):
            slope = self._slope(np.clip(raw, 0, 1), step)
            inside = (raw >= 0) & (raw <= 1)
            raw = raw - adam.step(np.where(inside, slope if layerwise else slope.sum(axis=0), 0))
        return self._by_tensor(np.clip(raw, 0, 1))

    def _by_tensor(self, coefficients: Floats) -> dict[str, Floats]:
        rows = np.broadcast_to(coefficients, (len(self.names), coefficients.shape[-1]))
        return {name: row.copy() for name, row in zip(self.names, rows, strict=True)}

    def _slope(self, coefficients: Floats, step: int) -> Floats:
        """Return the gradient [tensors, N] of the objective by the coefficients of each tensor."""
        rows = self._by_tensor(coefficients)
        merged = {name: self._merged(name, rows[name]) for name in self.names}
        loss, gradient = self._vectors.data["entropy"](merged, step)
        slope = np.array([self._products(gradient.get(name), name) for name in self.names])
        if not (np.isfinite(loss) and np.isfinite(slope).all()):
            raise UsageError(
                f"AdaMerging: the objective is {float(loss)} at step {step}, or its gradient is not finite"
            )
        return slope

    def _merged(self, name: str, coefficients: Floats) -> Array:
        return self._base[name] + weighted_sum(self._changes[name], self._vectors.bring(coefficients))

    def _products(self, gradient: Any, name: str) -> list[float]:
        """Return the inner products [N] of a *gradient* with the task vectors of the tensor *name*."""
        changes = self._changes[name].reshape((len(self._vectors.sources), -1))
        if gradient is None:
            return [0.0] * len(changes)
        xp, numpy = namespace(changes), is_numpy(changes)
        flat = (np.asarray(gradient) if numpy else gradient).reshape(-1)
        total = xp.zeros(len(changes), dtype=xp.float64, device=changes.device)
        for begin in range(0, flat.shape[0], PIECE[numpy]):
            piece = slice(begin, begin + PIECE[numpy])
            # Most rows of the embeddings belong to tokens that no example has.
            if not numpy or flat[piece].any():
                total = total + xp.sum(changes[:, piece] * flat[piece], axis=1, dtype=xp.float64)
        return [float(product) for product in total]


class _Adam:
    """Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1, with betas 0.9 and 0.999 and epsilon 1e-8."""

    def __init__(self, shape: tuple[int, ...], rate: float) -> None:
        self._rate = rate
        self._mean, self._square, self._steps = np.zeros(shape), np.zeros(shape), 0

    def step(self, slope: Floats) -> Floats:
        """Return what to take away, given the gradient *slope*."""
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * slope
        self._square = 0.999 * self._square + 0.001 * slope**2
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        change: Floats = self._rate * mean / (np.sqrt(square) + 1e-8)
        return change


def _agreeing(vectors: TaskVectors, density: float) -> Callable[[Array], Array]:
    """Return what keeps of task vectors [N, …] the largest of the model that have the elected sign, as in TIES."""
    thresholds = vectors.thresholds(density, one_more=True)
    tie = majority_sign(vectors, thresholds, None)

    def kept(task_vectors: Array) -> Array:
        large = trim(task_vectors, thresholds)
        agrees = large * elect_sign(large, tie=tie) > 0
        return namespace(large).where(agrees, large, namespace(large).zeros_like(large))

    return kept


def _combine(kept: Callable[[Array], Array], coefficients: Array) -> Combine:
    return lambda chunk: weighted_sum(kept(chunk), coefficients)


def _fractions(coefficients: Array) -> Floats:
    """Return *coefficients* [N], scaled to sum to one, in float64."""
    numbers = np.array([float(number) for number in coefficients])
    fractions: Floats = numbers / numbers.sum()
    return fractions


def _same(value: Any) -> Any:
    return value
