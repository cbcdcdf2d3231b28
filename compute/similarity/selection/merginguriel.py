"""Select sources exactly as the document's predecessor did, two faults included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.similarity.ranking import check_request
from compute.sinkhorn import sinkhorn_weights


def merginguriel(
    similarity: NDArray[np.float64], target: int, candidates: Sequence[int], k: int, *, seed: int
) -> list[int]:
    """Choose *k* candidates as Erland366/merginguriel does (similarity_utils.py), largest Sinkhorn weight first.

    Sinkhorn weights choose, not only weigh: see compute.sinkhorn for what that favours. Where the target is a
    candidate (IncTar), it is taken first, and then the candidates with any weight at all, in the order of the matrix
    [n, n] (rows targets, columns sources), until there are *k*: only those are ranked. Of equal weights the lower
    index comes first, the target before all. The predecessor's published choices used *k* = 5.

    Two things differ. It sets a diagonal whose floats sum to exactly n to zero before it ranks; those of its own
    files do not, by rounding, and ours from URIEL would: so the diagonal always stays. And it merges fewer than *k*
    where fewer have any weight; here the candidates without weight fill up, in the order of the matrix, and
    compute.merging.merginguriel leaves them out again if Sinkhorn also weighs.

    *seed* has no effect. Raises ValueError if there are fewer than *k* candidates.
    """
    check_request(similarity, target, candidates, k)
    weights = sinkhorn_weights(similarity)[target]
    in_order = sorted(candidates)
    found = [source for source in in_order if weights[source] > 0]
    if target in candidates:
        found = sorted(found, key=lambda source: source != target)[:k]
    chosen = sorted(found, key=lambda source: -float(weights[source]))[:k]
    return [*chosen, *(source for source in in_order if source not in chosen)][:k]
