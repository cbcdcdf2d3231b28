"""Cells that say which locales resemble which, whom to merge, and how much of each.

A similarity is a mapping of `locales` and `matrix`, whose rows are targets and whose columns are sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from compute.engine.cell import cell

Similarity = dict[str, Any]
Scope = Literal["ExcTar", "IncTar"]


@cell()
def uriel(locales: Sequence[str], codes: Literal["individual", "macro"]) -> Similarity:
    """Return the typological similarity (1 + cosine) / 2, from URIEL's file with the digest that the code pins."""
    from compute.similarity.uriel import similarity

    return {"locales": list(locales), "matrix": similarity(locales, codes=codes)}


@cell()
def real(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Similarity:
    """Return measured transfer as similarity, from evaluations by source and target on the dev split."""
    import numpy as np

    from compute.similarity.real import similarity

    locales = list(scores)
    transfer = np.array([[scores[source][target]["accuracy"] for target in locales] for source in locales])
    return {"locales": locales, "matrix": similarity(transfer)}


@cell()
def real_transposed(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Similarity:
    """Return measured transfer as the predecessor misread it, by the rows of the target's own expert; to compare with.

    It read evaluations on the *test* split; pass those of the development split to keep that fault out.
    """
    import numpy as np

    from compute.similarity.real import transposed

    locales = list(scores)
    transfer = np.array([[scores[source][target]["accuracy"] for target in locales] for source in locales])
    return {"locales": locales, "matrix": transposed(transfer)}


@cell(label="{similarity}/{rule}/{scope}/{target}/{draw}", plugins={"rule": "compute.similarity.selection"})
def selection(
    similarity: Similarity,
    locales: Sequence[str],
    target: str,
    rule: str,
    scope: Scope,
    count: int,
    seed: int,
    draw: int = 0,
) -> list[str]:
    """Choose *count* of the *locales* for *target*, best first; *draw* tells random choices apart.

    ExcTar leaves out the target itself. Locales that the similarity does not know are left out too.
    """
    from compute import plugins

    known: list[str] = similarity["locales"]
    allowed = [locale for locale in locales if locale in known and (scope == "IncTar" or locale != target)]
    choose = plugins.load("compute.similarity.selection", rule)
    places = [known.index(locale) for locale in allowed]
    return [known[p] for p in choose(similarity["matrix"], known.index(target), places, count, seed=seed)]


@cell(label="{rule}/{sources}", plugins={"rule": "compute.merging.coefficients"})
def coefficients(similarity: Similarity, target: str, sources: Sequence[str], rule: str) -> list[float]:
    """Say how much of each chosen source is merged: non-negative, summing to one."""
    from compute import plugins

    locales: list[str] = similarity["locales"]
    weigh = plugins.load("compute.merging.coefficients", rule)
    places = [locales.index(source) for source in sources]
    return [float(share) for share in weigh(similarity["matrix"], locales.index(target), places)]


@cell(label="{source}/{sources}")
def share(source: str, sources: Sequence[str], coefficients: Sequence[float]) -> dict[str, Any]:
    """Say whether *source* was chosen, and with what weight."""
    chosen = source in sources
    return {"chosen": chosen, "weight": coefficients[list(sources).index(source)] if chosen else None}


@cell(label="{similarity}/{target}")
def ranking(similarity: Similarity, target: str) -> list[dict[str, Any]]:
    """Rank all sources for *target* by raw similarity, with their Sinkhorn weights; best first."""
    from compute.sinkhorn import sinkhorn_weights

    locales: list[str] = similarity["locales"]
    row = locales.index(target)
    raw, weights = similarity["matrix"][row], sinkhorn_weights(similarity["matrix"])[row]
    others = [place for place in range(len(locales)) if place != row]
    by_raw = sorted(others, key=lambda place: (-raw[place], place))
    by_weight = sorted(others, key=lambda place: (-weights[place], place))
    return [
        {
            "locale": locales[place],
            "similarity": float(raw[place]),
            "rank": rank,
            "weight": float(weights[place]),
            "weight_rank": by_weight.index(place) + 1,
        }
        for rank, place in enumerate(by_raw, 1)
    ]


@cell(label="{similarity}/{source}/{target}")
def similarity_of(similarity: Similarity, source: str, target: str) -> dict[str, float | None]:
    """Look up one similarity; None where the matrix lacks a locale."""
    locales: list[str] = similarity["locales"]
    if source not in locales or target not in locales:
        return {"value": None}
    return {"value": float(similarity["matrix"][locales.index(target), locales.index(source)])}
