"""The study's charts: functions from data frames, named like the results they come from.

Where no task's oracle clearly beats its base there is no gap to recover, and the difference to the mean of the anchors,
in accuracy, is drawn in its place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from compute.study import figure

if TYPE_CHECKING:
    import altair as alt
    from pandas import DataFrame

SPACES = {"factor": "factors A and B", "b": "B alone", "delta": "ΔW"}
POLICIES = {"shared": "shared initialisation", "independent": "independent initialisations"}
RECOVERED = "Share of the oracle's gain that is recovered"


class Measure(NamedTuple):
    """What a chart of pooled results shows: its columns, name, format and line of reference."""

    x: str
    low: str
    high: str
    title: str
    short: str
    number_format: str
    reference: tuple[float, str]


def _measure(frame: DataFrame) -> Measure:
    """Take the gap where any row has one, else the difference to the mean."""
    if frame["pooled_gap"].notna().any():
        return Measure("pooled_gap", "pooled_low", "pooled_high", RECOVERED, "Gap recovered", ".0%", (0.0, "base"))
    columns = ("pooled_difference", "pooled_difference_low", "pooled_difference_high")
    return Measure(*columns, "Accuracy minus the mean's", "Against the mean", "+.0%", (0.0, "mean of the anchors"))


def _drawn(frame: DataFrame, measure: Measure) -> DataFrame:
    """Keep the rows that have a value, as numbers: a column with None in it may hold objects."""
    columns = {name: frame[name].astype(float) for name in (measure.x, measure.low, measure.high)}
    return frame.assign(**columns)[frame[measure.x].notna()]


def _words(frame: DataFrame) -> DataFrame:
    return frame.assign(
        **{
            column: frame[column].map(lambda value, words=words: words.get(value, value))
            for column, words in (("space", SPACES), ("policy", POLICIES))
            if column in frame
        }
    )


def _dots(frame: DataFrame, *, y: str, colour: str | None, title: str, description: str, **titles: str) -> alt.Chart:
    """Draw pooled results as dots with intervals."""
    from compute.report.charts import dots_with_intervals

    measure = _measure(frame)
    return dots_with_intervals(
        _words(_drawn(frame, measure)),
        x=measure.x,
        low=measure.low,
        high=measure.high,
        y=y,
        colour=colour,
        title=title,
        description=description,
        titles={measure.x: measure.title, **titles},
        number_format=measure.number_format,
        reference=measure.reference,
    )


@figure(
    "What translation recovers of the oracles' gain over the base, pooled over all tasks and runs, with 95 % bootstrap "
    "intervals: by what is translated, and by how the adapters of a model began."
)
def initialisation(initialisation_all: DataFrame) -> alt.Chart:
    """Draw the lead figure: the mean of the anchors beside factors and ΔW, under either policy."""
    mean = initialisation_all["method"] == "mean"
    words = initialisation_all["space"].map(SPACES).where(~mean, "mean of the anchors")
    return _dots(
        initialisation_all.assign(translated=words),
        y="policy",
        colour="translated",
        title="Does translation need a shared initialisation?",
        description="For adapters with shared and with independent initialisations, what the mean of the anchors and "
        "the translation of factors and of ΔW recover.",
        policy="Adapters begin with",
        translated="Translated",
    )


@figure(
    "Accuracy on each held-out task with 95 % Wilson intervals: model Y as it is, with the mean of the anchors, with "
    "the adapter that the declared method translates, and with the task's own adapter, the oracle."
)
def held_out(main: DataFrame, tasks: DataFrame, methods: DataFrame) -> alt.Chart:
    """Draw a row a task, a dot a system, the base first and the oracle last."""
    import pandas as pd

    from compute.report.charts import dots_with_intervals

    declared = set(methods.loc[methods["primary"].astype(bool), "label"])
    known = tasks[tasks["task"].isin(main["task"])]
    chosen = main[main["label"].isin(declared) | (main["method"] == "mean")]
    translated = chosen.assign(system=chosen["label"].where(chosen["method"] != "mean", "mean of the anchors"))
    frame = pd.concat([_ends(known, "base"), translated.sort_values("role", kind="stable"), _ends(known, "oracle")])
    return dots_with_intervals(
        _measured(frame),
        x="score_accuracy",
        low="score_low",
        high="score_high",
        y="task",
        colour="system",
        title="Held-out tasks",
        description="For each held-out task, the accuracy of the base, the mean of the anchors, the declared "
        "translation and the oracle.",
        titles={"score_accuracy": "Accuracy", "task": "Task", "system": "Adapter"},
    )


def _measured(frame: DataFrame) -> DataFrame:
    """Leave out tasks that could not be measured, as their data cannot be used."""
    return frame[frame["score_accuracy"].notna()]


def _ends(tasks: DataFrame, name: str) -> DataFrame:
    renamed = {f"{name}_{field}": f"score_{field}" for field in ("accuracy", "low", "high")}
    return tasks[["task", *renamed]].rename(columns=renamed).assign(system=name)


@figure(
    "What each method recovers, every task being left out of its own anchors: pooled over all tasks, with 95 % "
    "bootstrap intervals over tasks and examples, the best first."
)
def gap_by_method(methods: DataFrame) -> alt.Chart:
    """Draw a row a method, a dot a space."""
    measure = _measure(methods)
    best = methods.groupby("method", sort=False)[measure.x].transform("max").astype(float)
    order = methods.assign(best=best).sort_values("best", ascending=False, kind="stable")
    return _dots(
        order,
        y="method",
        colour="space",
        title="Every method, every task",
        description="For each translation method, baseline and control, the pooled gap recovered.",
        method="Method",
        space="Translated",
    )


@figure(
    "By number of anchors: the mean over draws of the anchors, in a band from the lowest to the highest draw. Held-out "
    "tasks."
)
def anchor_scaling(anchors: DataFrame) -> alt.Chart:
    """Draw a line a method."""
    from compute.report.charts import lines

    with_gap = anchors["over_gap"].notna().any()
    y = "over_gap" if with_gap else "over_accuracy"
    frame = anchors[anchors[y].notna()]
    band: dict[str, Any] = {"low": "over_low", "high": "over_high"} if with_gap else {}
    return lines(
        frame.assign(**{name: frame[name].astype(float) for name in (y, *band.values())}),
        x="n",
        y=y,
        **band,
        colour="label",
        title="More anchors",
        description="For each method, the pooled gap recovered by number of anchors.",
        titles={"n": "Anchors", y: RECOVERED if with_gap else "Accuracy", "label": "Method"},
        reference=(0.0, "base") if with_gap else None,
    )


def _lines(frame: DataFrame, *, x: str, colour: str, title: str, description: str, **titles: str) -> alt.Chart:
    """Draw pooled results as lines in bands."""
    from compute.report.charts import lines

    measure = _measure(frame)
    return lines(
        _words(_drawn(frame, measure)),
        x=x,
        y=measure.x,
        low=measure.low,
        high=measure.high,
        colour=colour,
        title=title,
        description=description,
        titles={measure.x: measure.title, **titles},
        number_format=measure.number_format,
        reference=measure.reference,
    )


@figure("By number of nearest anchors that the regression may use, in bands of 95 % bootstrap intervals.")
def nearest_anchors(neighbours: DataFrame) -> alt.Chart:
    """Draw a line a method."""
    return _lines(
        neighbours,
        x="k",
        colour="label",
        title="Only the nearest anchors",
        description="For each method, what is recovered by number of nearest anchors.",
        k="Nearest anchors",
        label="Method",
    )


@figure("What the declared method recovers on the held-out tasks of each domain (rows), by the anchors' domain.")
def anchor_pools(pools: DataFrame) -> alt.Chart:
    """Draw the matrix of held-out domains and pools of anchors."""
    from compute.report.charts import heatmap

    measure = _measure(pools)
    return heatmap(
        pools.assign(**{measure.x: pools[measure.x].astype(float)}),
        x="pool",
        y="domain",
        value=measure.x,
        title="Across domains",
        description="For the held-out tasks of each domain, what is recovered from anchors of each pool.",
        titles={"pool": "Anchors of", "domain": "Held-out domain", measure.x: measure.short},
        number_format=measure.number_format,
        middle=0.0,
    )


@figure("By strength of regularisation λ, as a share of the mean eigenvalue, in bands of 95 % bootstrap intervals.")
def regularisation(lambdas: DataFrame) -> alt.Chart:
    """Draw a line a space, over the logarithm of λ."""
    return _lines(
        lambdas.assign(power=lambdas["relative_lambda"].map(math.log10)),
        x="power",
        colour="space",
        title="How much to regularise",
        description="For factors and ΔW, what is recovered by the strength of regularisation.",
        power="log10 of λ",
        space="Translated",
    )


@figure("Accuracy of model Y on every task, as it is and with the task's own adapter, with 95 % Wilson intervals.")
def base_and_oracle(tasks: DataFrame) -> alt.Chart:
    """Draw a row a task, a dot for the base and one for the oracle."""
    import pandas as pd

    from compute.report.charts import dots_with_intervals

    return dots_with_intervals(
        _measured(pd.concat([_ends(tasks, name) for name in ("base", "oracle")])),
        x="score_accuracy",
        low="score_low",
        high="score_high",
        y="task",
        colour="system",
        title="What there is to gain",
        description="For each task, the accuracy of the base model and of the oracle.",
        titles={"score_accuracy": "Accuracy", "task": "Task", "system": "Adapter"},
    )


@figure("In what share of all tasks' three nearest anchors an anchor is, by rule: the twelve that are in most.")
def nearest_hubs(hubs: DataFrame) -> alt.Chart:
    """Draw a bar an anchor and rule, the most frequent first."""
    from compute.report.charts import bars

    frame = hubs.assign(share=hubs["times"] / hubs["of"])
    most = frame.groupby("anchor", sort=False)["share"].transform("max")
    ordered = frame.assign(most=most).sort_values("most", ascending=False, kind="stable")
    shown = ordered["anchor"].drop_duplicates().head(12)
    return bars(
        ordered[ordered["anchor"].isin(shown)],
        x="share",
        y="anchor",
        colour="rule",
        title="Everyone's neighbours",
        description="For each anchor, the share of tasks that it is among the three nearest of.",
        titles={"share": "Share of tasks", "anchor": "Anchor", "rule": "Ranked by"},
    )


FIGURES = (
    initialisation,
    held_out,
    gap_by_method,
    anchor_scaling,
    nearest_anchors,
    anchor_pools,
    regularisation,
    base_and_oracle,
    nearest_hubs,
)
