"""The study's findings as claims: what the document says or implies, and ours. Each is judged by intervals.

A claim that something makes no difference, or does not help, holds only if the interval leaves no room for more than a
MARGIN. Comparisons of two ways to translate are those of the result `comparisons`, on the same examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compute.study import Evidence, claim

if TYPE_CHECKING:
    from pandas import DataFrame

DOCUMENT = "Cross-Model LoRA Adapter Translation, Round 3, "
OURS = "our own question"
MARGIN = 0.01
"""One point of accuracy: what is less is taken for no help."""

TENSORS = "pertensor_ridge − global_ridge"
PAIRING = "declared method − permuted anchors"
NEAREST = "nearest anchors − all anchors"
MORE = "most anchors − fewest anchors"
DOMAINS = "own domain − other domains"
"""Comparisons that claims are judged by, as the result `comparisons` names them."""

ACROSS = "the interval includes 0"
NOT_HERE = "not measured under this profile"


def _points(difference: float, low: float, high: float) -> str:
    return f"{100 * difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]".replace("-", "−")


def _share(value: float, low: float, high: float) -> str:
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _above(low: float, high: float, threshold: float = 0.0) -> bool | None:
    """Say whether an interval lies above a threshold (True), below it (False), or across (None)."""
    return True if low > threshold else False if high < threshold else None


def _all(parts: list[bool | None]) -> bool | None:
    return False if False in parts else None if None in parts else True


def _compared(comparisons: DataFrame, what: str) -> Any:
    """Return the row of a comparison, or None if the profile does not make it."""
    if comparisons.empty:
        return None
    rows = comparisons[(comparisons["what"] == what) & comparisons["found_difference"].notna()]
    return None if rows.empty else rows.iloc[0]


def _helps(comparisons: DataFrame, what: str) -> Evidence:
    """Judge that the first of two is better than the second."""
    row = _compared(comparisons, what)
    if row is None:
        return Evidence(None, "", NOT_HERE)
    holds = _above(row["found_low"], row["found_high"])
    measured = f"{what}: {_points(row['found_difference'], row['found_low'], row['found_high'])}"
    return Evidence(holds, measured, "" if holds is not None else ACROSS)


def _does_not_help(comparisons: DataFrame, what: str) -> Evidence:
    """Judge that the first of two is not better by a MARGIN: open if the interval has room for both."""
    row = _compared(comparisons, what)
    if row is None:
        return Evidence(None, "", NOT_HERE)
    low, high = row["found_low"], row["found_high"]
    measured = f"{what}: {_points(row['found_difference'], low, high)}"
    if low == high:
        return Evidence(None, measured, "no answer differs: as much would come of models that learned nothing")
    holds = True if high < MARGIN else False if low > 0 else None
    why = "" if holds is not None else "the interval leaves room for no help at all and for more than a point"
    return Evidence(holds, measured, why)


@claim(
    "A translated adapter beats the mean of the anchors.",
    source=DOCUMENT + "success criteria; judged by one method that was declared before anything was measured",
)
def translation_beats_the_mean(methods: DataFrame) -> Evidence:
    """Judge the declared method over all tasks, each left out of its own anchors."""
    known = methods[methods["pooled_difference"].notna()] if not methods.empty else methods
    declared = known[known["primary"].astype(bool)] if not known.empty else known
    if declared.empty:
        return Evidence(None, "", NOT_HERE)
    row = declared.iloc[0]
    low, high = row["pooled_difference_low"], row["pooled_difference_high"]
    holds = _above(low, high)
    ahead = f"ahead on {row['pooled_wins']:.0f} of {row['pooled_of']:.0f} tasks"
    measured = f"{row['label']}: {_points(row['pooled_difference'], low, high)}, {ahead}"
    return Evidence(holds, measured, "" if holds is not None else ACROSS)


@claim(
    "Translating factors depends on all adapters of a model sharing one initialisation.",
    source=OURS,
)
def factors_need_one_beginning(initialisation_all: DataFrame) -> Evidence:
    """Judge what is gained over the mean: more from a shared initialisation, and no two intervals may overlap."""
    return _set_apart(initialisation_all, ("shared", "factor"), ("independent", "factor"))


@claim("Where every adapter began by itself, translating ΔW gains more than translating factors.", source=OURS)
def delta_survives(initialisation_all: DataFrame) -> Evidence:
    """Judge what is gained over the mean: no two intervals may overlap, and that of ΔW must lie above 0."""
    return _set_apart(initialisation_all, ("independent", "delta"), ("independent", "factor"))


def _set_apart(initialisation_all: DataFrame, more: tuple[str, str], less: tuple[str, str]) -> Evidence:
    """Judge that the declared method gains something in the first case (policy, space), and more than in the other."""
    rows = [_row(initialisation_all, *case) for case in (more, less)]
    if any(row is None for row in rows):
        return Evidence(None, "", NOT_HERE)
    bounds = [(row["pooled_difference_low"], row["pooled_difference_high"]) for row in rows]
    holds = _all([_beyond(*bounds), _above(*bounds[0])])
    names = {"factor": "factors", "delta": "ΔW"}
    measured = "; ".join(
        f"{names[space]}, {policy}: {_points(row['pooled_difference'], *ends)}"
        for (policy, space), row, ends in zip((more, less), rows, bounds, strict=True)
    )
    return Evidence(holds, measured, "" if holds is not None else "the intervals overlap")


def _row(initialisation_all: DataFrame, policy: str, space: str) -> Any:
    """Return the row of the declared method, which is whatever is not the mean; None if there is none."""
    if initialisation_all.empty:
        return None
    frame = initialisation_all[initialisation_all["pooled_difference"].notna()]
    rows = frame[(frame["policy"] == policy) & (frame["space"] == space) & (frame["method"] != "mean")]
    return None if rows.empty else rows.iloc[0]


def _beyond(first: tuple[float, float], second: tuple[float, float]) -> bool | None:
    """Say whether the first interval lies wholly above the second (True), below it (False), or overlaps it."""
    return True if first[0] > second[1] else False if first[1] < second[0] else None


@claim("What is gained comes from the pairing: with anchors paired at random, less is gained.", source=OURS)
def pairing_matters(comparisons: DataFrame) -> Evidence:
    """Judge the declared method against itself with the anchors' adapters on Y in another order."""
    return _helps(comparisons, PAIRING)


@claim(
    "Predicting each tensor by itself is better than predicting all of them together.",
    source=DOCUMENT + "main table, pertensor_ridge beside global_ridge",
)
def tensors_by_themselves(comparisons: DataFrame) -> Evidence:
    """Judge both ridge regressions in the declared space, over all tasks."""
    return _helps(comparisons, TENSORS)


@claim(
    "Restricting the regression to the nearest anchors does not help by a point or more.",
    source=DOCUMENT + "Experiment 2 and the top-k columns of the main table",
)
def nearest_do_not_help(comparisons: DataFrame) -> Evidence:
    """Judge the regression on the nearest anchors, by centred cosine, against that on all."""
    return _does_not_help(comparisons, NEAREST)


@claim("More anchors help.", source=DOCUMENT + "Experiment 2")
def more_anchors_help(comparisons: DataFrame) -> Evidence:
    """Judge the declared method with the most against that with the fewest anchors, all draws together."""
    return _helps(comparisons, MORE)


@claim(
    "Anchors of other domains serve a task no worse than those of its own, by a point or more.",
    source=DOCUMENT + "Experiment 3, whose best pools are never those of the task's own domain",
)
def other_domains_serve_as_well(comparisons: DataFrame) -> Evidence:
    """Judge what a task gains by anchors of its own domain over those of each other domain."""
    return _does_not_help(comparisons, DOMAINS)


@claim(
    "Raw cosine chooses by hubs: it gives more tasks the same nearest anchor than centred cosine does.",
    source=DOCUMENT + "Experiment 3, whose selections are always the same few anchors",
)
def raw_cosine_chooses_hubs(hubs: DataFrame) -> Evidence:
    """Judge the anchor that is chosen most under each rule, by the Wilson intervals of its share of the tasks."""
    from compute.evaluation.metrics import wilson

    most = {}
    for rule in ("raw cosine", "centred cosine"):
        rows = hubs[hubs["rule"] == rule] if not hubs.empty else hubs
        if rows.empty:
            return Evidence(None, "", NOT_HERE)
        most[rule] = rows.loc[rows["times"].idxmax()]
    bounds = {rule: wilson(int(row["times"]), int(row["of"])) for rule, row in most.items()}
    holds = _beyond(bounds["raw cosine"], bounds["centred cosine"])
    parts = [
        f"{rule}: {row['anchor']} is near {_share(row['times'] / row['of'], *bounds[rule])} of tasks"
        for rule, row in most.items()
    ]
    return Evidence(holds, "; ".join(parts), "" if holds is not None else "the intervals overlap")


@claim(
    "By its own numbers, the document's learned methods do not beat the mean, even the best chosen for each task.",
    source=DOCUMENT + "success criteria: best learned method minus mean baseline, −0.000",
)
def document_does_not_beat_the_mean(published_table: DataFrame) -> Evidence:
    """Judge the criterion without rounding; choosing the best for each task on the test itself can only favour it."""
    found = float(published_table["gain"].mean())
    ahead, behind = int((published_table["gain"] > 0).sum()), int((published_table["gain"] < 0).sum())
    measured = f"{100 * found:+.3f} points; ahead on {ahead} tasks, behind on {behind}, of {len(published_table)}"
    return Evidence(found <= 0, measured.replace("-", "−"))


@claim(
    "No oracle of the document differs from its base by more than noise, so its gap column says nothing.",
    source=DOCUMENT + "main table, with its own caveat on oracles that do not improve",
)
def published_gaps_are_noise(published_noise: DataFrame) -> Evidence:
    """Judge by the interval of each difference of two independent shares: all must include 0."""
    clear = [_above(row.low, row.high) is not None for row in published_noise.itertuples()]
    listed = ", ".join(f"{z:.2f}" for z in published_noise["z"]).replace("-", "−")
    largest = 100 * float(published_noise["difference"].max())
    measured = f"standard errors: {listed}; the most that an oracle gains: {largest:.1f} points"
    return Evidence(not any(clear), measured, "as two independent samples, for the single answers were not published")


CLAIMS = (
    translation_beats_the_mean,
    factors_need_one_beginning,
    delta_survives,
    pairing_matters,
    tensors_by_themselves,
    nearest_do_not_help,
    more_anchors_help,
    other_domains_serve_as_well,
    raw_cosine_chooses_hubs,
    document_does_not_beat_the_mean,
    published_gaps_are_noise,
)
