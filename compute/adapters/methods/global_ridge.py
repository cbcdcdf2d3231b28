"""Translation by one ridge regression for the whole adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.adapters.method import translation_method
from compute.adapters.ridge import ridge_weights

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Ridge, whole adapter at once",
    source="the document; dual form: Saunders et al. 1998, Ridge Regression Learning Algorithm in Dual Variables",
    role="translation",
)
def global_ridge(problem: Problem, *, relative_lambda: float = 0.01) -> Floats:
    """Predict all of Y's tensors, as one long vector, from all of X's; see compute.adapters.ridge.ridge_weights.

    *relative_lambda* is λ as a share of the mean eigenvalue of the centred Gram; 0 chooses it by leaving one out.
    """
    gram, query, y = (found.sum(axis=0, keepdims=True) for found in (problem.x, problem.query, problem.y))
    return ridge_weights(problem, gram, query, y, relative_lambda)
