"""Translation by a ridge regression for each tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.adapters.method import translation_method
from compute.adapters.ridge import ridge_weights

if TYPE_CHECKING:
    from compute.adapters.problem import Floats, Problem


@translation_method(
    title="Ridge, each tensor by itself",
    source="the document; dual form: Saunders et al. 1998, Ridge Regression Learning Algorithm in Dual Variables",
    role="translation",
)
def pertensor_ridge(problem: Problem, *, relative_lambda: float = 0.01) -> Floats:
    """Predict each tensor of Y from the tensor of X at the same depth, see compute.adapters.ridge.ridge_weights.

    *relative_lambda* is λ as a share of the mean eigenvalue of the centred Gram; 0 chooses it by leaving one out.
    """
    return ridge_weights(problem, problem.x[problem.match], problem.query[problem.match], problem.y, relative_lambda)
