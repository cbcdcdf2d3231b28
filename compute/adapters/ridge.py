"""Ridge regression in dual form, many groups at once: from inner products to weights of the anchors.

Knows inner products alone. n anchors with Gram K [n, n] and a query with k = ⟨anchor, query⟩ [n]; H centres.
"""

from __future__ import annotations

import numpy as np

from compute.adapters.components import NOISE, centred, centred_query
from compute.adapters.problem import Floats, Problem
from compute.errors import UsageError

SMALLEST = 1e-10
"""The least λ, relative to the mean eigenvalue: a smaller one is taken as this, so that equal anchors share."""

GRID = np.logspace(3, -4, 15)
"""The relative λ that leaving one out chooses from, half a decade apart. Of equally good ones the first is taken."""


def ridge_weights(problem: Problem, gram: Floats, query: Floats, y: Floats, relative_lambda: float) -> Floats:
    """Return the weights c of the anchors in each group of Y [groups of Y, n], for ŷ = ȳ + Σ w_i (y_i − ȳ) = Σ c_i y_i.

    w = (K̃ + λI)⁻¹ k̃ with K̃ = HKH, k̃ = H(k − K1/n) and λ = *relative_lambda* · tr(K̃)/n; c = 1/n + w − w̄ sums to 1.
    This is ridge regression with an intercept in dual form (Saunders et al. 1998, Ridge Regression Learning Algorithm
    in Dual Variables), whose coefficients are never formed.

    *gram* [g, n, n], *query* [g, n] and *y* [g, n, n] hold a group for each of Y, or a single one that serves all. *y*
    is looked at only where *relative_lambda* is 0: then each group takes the λ of GRID with the least error of leaving
    one anchor out. Otherwise it must be above 0; UsageError below. Groups whose anchors are equal get the mean.
    """
    if relative_lambda < 0:
        raise UsageError(
            f"relative_lambda must be above 0, or 0 to choose it by leaving one out, not {relative_lambda}"
        )
    unit, pull = standardised(gram, query)
    lambdas = np.full(len(unit), relative_lambda) if relative_lambda else best_lambdas(gram, y)
    count = gram.shape[-1]
    # Ones leave what is orthogonal to them alone, as all of `pull` is, and make the one direction solvable that
    # centring took away.
    penalty = np.maximum(lambdas, SMALLEST)[:, None, None] * np.eye(count) + 1 / count
    weights = affine(np.linalg.solve(unit + penalty, pull[..., None])[..., 0])
    return np.array(np.broadcast_to(weights, (problem.groups, count)))


def best_lambdas(gram: Floats, y: Floats) -> Floats:
    """Return the relative λ of GRID with the least error of leaving one anchor out, for each group [g]."""
    return np.asarray(GRID[leave_one_out(gram, y, GRID).argmin(axis=0)])


def leave_one_out(gram: Floats, y: Floats, relative_lambdas: Floats) -> Floats:
    """Return the squared error of predicting each anchor from the others [λs, g], without refitting.

    *gram* [g, n, n] on X and *y* [g, n, n] on Y need not be centred. An error is relative to that of the mean of the
    other anchors, which makes it 1 where nothing can be learned: fewer than two anchors, or equal ones on either side.
    λ is a share of the mean eigenvalue with all anchors and stays the same whichever is left out (PRESS: Allen 1974,
    The Relationship Between Variable Selection and Data Augmentation).
    """
    count = gram.shape[-1]
    if count < 2:
        return np.ones((len(relative_lambdas), len(gram)))
    values, vectors = np.linalg.eigh(standardised(gram, gram[..., 0])[0])
    of_the_mean = count * spread(y) * (count / (count - 1)) ** 2
    errors = np.ones((len(relative_lambdas), len(gram)))
    for number, one in enumerate(np.maximum(relative_lambdas, SMALLEST)):
        # I − S with S = (K̃ + λI)⁻¹K̃ + 11ᵀ/n, whose diagonal would cancel if it were taken from 1.
        kept = centred((vectors * (one / (values.clip(0) + one))[:, None]) @ vectors.swapaxes(1, 2))
        squares = np.einsum("gij,gjk,gik->gi", kept, y, kept, optimize=True)
        found = (squares / np.diagonal(kept, axis1=1, axis2=2) ** 2).sum(axis=1)
        np.divide(found, of_the_mean, out=errors[number], where=of_the_mean > 0)
    return errors


def standardised(gram: Floats, query: Floats) -> tuple[Floats, Floats]:
    """Return K̃ and k̃ of each group, both divided by the mean eigenvalue of K̃; zeros where the anchors are equal."""
    size = spread(gram)
    inverse = np.divide(1, size, out=np.zeros_like(size), where=size > 0)
    return centred(gram) * inverse[:, None, None], centred_query(gram, query) * inverse[:, None]


def spread(gram: Floats) -> Floats:
    """Return tr(K̃)/n of each group [g], the mean eigenvalue of the centred Gram; 0 where the anchors are equal."""
    whole, found = (np.trace(one, axis1=1, axis2=2) / one.shape[-1] for one in (gram, centred(gram)))
    return np.where(found > NOISE * whole, found, 0.0)


def affine(weights: Floats) -> Floats:
    """Return the weights c = 1/n + w − w̄ of Σ c_i y_i that weights w of the centred anchors [g, n] come to."""
    return np.asarray(1 / weights.shape[-1] + weights - weights.mean(axis=-1, keepdims=True))
