"""The study's findings as claims: the document's four insights, its recommendations, and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compute.study import Evidence, claim

if TYPE_CHECKING:
    from pandas import DataFrame

SOURCE = "DARE & Source Selection Ablation Study, "


def _points(row: Any, prefix: str) -> str:
    """Write a difference with its interval, in points."""
    difference, low, high = (100 * row[f"{prefix}_{name}"] for name in ("difference", "low", "high"))
    return f"{difference:+.1f} points [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def _sign(low: float, high: float) -> bool | None:
    """Say whether an interval lies above 0 (True), not above it (False), or across (None)."""
    return True if low > 0 else False if high < 0 else None


def _judged(row: Any, *, prefix: str = "pooled", upwards: bool = True) -> Evidence:
    """Judge a difference that should lie above 0, or below it."""
    low, high = row[f"{prefix}_low"], row[f"{prefix}_high"]
    holds = _sign(low, high) if upwards else _sign(-high, -low)
    return Evidence(holds, _points(row, prefix), "" if holds is not None else "the interval includes 0")


def _pooled(pooled: DataFrame, what: str) -> Any:
    return pooled.set_index("what").loc[what]


@claim(
    "The choice of sources matters more than the choice of the merge method.",
    source=SOURCE + "Key Insight 1",
)
def selection_matters_more(spreads: DataFrame) -> Evidence:
    """Judge by the spreads: on every target the interval of their difference must lie above 0."""
    signs = [_sign(low, high) for low, high in zip(spreads["spread_low"], spreads["spread_high"], strict=True)]
    parts = [
        f"{row.target}: {100 * row.spread_selection:.1f} points over selections, "
        f"{100 * row.spread_method:.1f} over methods"
        for row in spreads.itertuples()
    ]
    holds = True if all(signs) else False if False in signs else None
    return Evidence(holds, "; ".join(parts), "" if holds is not None else "on some target the interval includes 0")


@claim(
    "Measured similarity (REAL) chooses better sources than typological similarity (URIEL).",
    source=SOURCE + "Primary Comparison; Recommendation 1",
)
def real_beats_uriel(pooled: DataFrame) -> Evidence:
    """Judge both with the document's Sinkhorn rule, pooled over the targets."""
    return _judged(_pooled(pooled, "REAL − URIEL, by Sinkhorn"))


@claim("DARE lowers the accuracy of cross-lingual merges.", source=SOURCE + "Key Insight 2; Recommendation 2")
def dare_lowers_accuracy(pooled: DataFrame) -> Evidence:
    """Judge at the document's method, drop rate and sources, pooled over targets and masks."""
    return _judged(_pooled(pooled, "DARE − no DARE"), upwards=False)


@claim(
    "Selecting by Sinkhorn is worse than taking the sources with the highest measured transfer.",
    source=SOURCE + "Key Insight 3; Recommendation 3",
)
def sinkhorn_is_suboptimal(pooled: DataFrame) -> Evidence:
    """Judge on REAL similarity, pooled over the targets."""
    return _judged(_pooled(pooled, "top-k − Sinkhorn, on REAL"))


@claim(
    "Goal 1, beating the best zero-shot source, is reached on two of the three locales.",
    source=SOURCE + "Key Insight 4",
)
def goal_1_on_two_of_three(dare: DataFrame) -> Evidence:
    """Judge by the intervals: a target counts only if its interval lies above 0, and is open if it includes 0."""
    signs = [_sign(low, high) for low, high in zip(dare["goal_low"], dare["goal_high"], strict=True)]
    needed = 2 if len(signs) == 3 else round(len(signs) * 2 / 3)
    reached, open_ = signs.count(True), signs.count(None)
    measured = "; ".join(f"{row['target']}: {_points(row, 'goal')}" for _, row in dare.iterrows())
    if reached == needed and not open_:
        return Evidence(True, measured)
    if reached > needed or reached + open_ < needed:
        return Evidence(False, measured)
    return Evidence(None, measured, f"the interval of {open_} of {len(signs)} targets includes 0")


@claim(
    "With its own expert among the sources, a merge beats that expert (Goal 2).",
    source=SOURCE + "Recommendation 4, an experiment that the document left open",
)
def goal_2_with_target(include_target: DataFrame) -> Evidence:
    """Judge the best method on each target, EMR aside: it must beat the target's own expert on all of them."""
    merges = include_target[include_target["method"] != "emr"].reset_index(drop=True)
    best = merges.loc[merges.groupby("target", sort=False)["goal_difference"].idxmax()]
    signs = [_sign(low, high) for low, high in zip(best["goal_low"], best["goal_high"], strict=True)]
    measured = "; ".join(f"{row['target']} by {row['method']}: {_points(row, 'goal')}" for _, row in best.iterrows())
    holds = True if all(signs) else False if False in signs else None
    return Evidence(holds, measured, "" if holds is not None else "on some target the interval includes 0")


@claim(
    "The document's URIEL sources for sq-AL were picked by Sinkhorn normalisation, not by typology.",
    source="recomputed from URIEL over the 50 locales of the document's similarity table",
)
def sinkhorn_picked_the_typological_sources(typology: DataFrame) -> Evidence:
    """Compare the three largest Sinkhorn weights, and the three most similar locales, with the document's."""
    documents = ["ar-SA", "cy-GB", "fi-FI"]
    by_weight = typology.sort_values("weight_rank")["locale"].head(3).tolist()
    by_similarity = typology.sort_values("rank")["locale"].head(3).tolist()
    holds = by_weight == documents and not set(by_similarity) & set(documents)
    return Evidence(holds, f"largest weights: {', '.join(by_weight)}; highest similarity: {', '.join(by_similarity)}")


@claim(
    "Normalisation, not typology, made the document's URIEL sources bad: ranked by raw similarity, URIEL does better.",
    source="our reading of Key Insight 1",
)
def raw_typology_does_better(pooled: DataFrame) -> Evidence:
    """Judge among the locales that the profile has, pooled over the targets."""
    return _judged(_pooled(pooled, "top-k − Sinkhorn, on URIEL"))


@claim(
    "The predecessor's choice of sources and base costs accuracy.",
    source="our reading of the code behind the document",
)
def faults_cost_accuracy(faults_pooled: DataFrame) -> Evidence:
    """Judge REAL by the first method of the config that the predecessor has, pooled over the targets."""
    return _judged(faults_pooled[faults_pooled["similarity"] == "REAL"].iloc[0], prefix="cost")


CLAIMS = (
    selection_matters_more,
    real_beats_uriel,
    dare_lowers_accuracy,
    sinkhorn_is_suboptimal,
    goal_1_on_two_of_three,
    goal_2_with_target,
    sinkhorn_picked_the_typological_sources,
    raw_typology_does_better,
    faults_cost_accuracy,
)
