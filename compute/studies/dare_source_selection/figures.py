"""The study's charts: functions from data frames, named like the results they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute.study import figure

if TYPE_CHECKING:
    import altair as alt
    from pandas import DataFrame

RULES = {"sinkhorn": "Sinkhorn", "top_k": "top-k"}


def _rule(row: DataFrame) -> str:
    name = RULES.get(row["rule"], "random")
    return name if row["similarity"] == "none" else f"{row['similarity']}, {name}"


@figure("Accuracy of merges by the rule that chose their sources, with 95 % Wilson intervals; random is the control.")
def accuracy_by_selection(selection: DataFrame) -> alt.Chart:
    """Draw a row a target, a dot a rule."""
    from compute.report.charts import dots_with_intervals

    frame = selection.assign(chosen_by=selection.apply(_rule, axis=1))
    return dots_with_intervals(
        frame,
        x="score_accuracy",
        low="score_low",
        high="score_high",
        y="target",
        colour="chosen_by",
        title="Accuracy by selection rule",
        description="For each target locale, the test accuracy of the merge of the sources that each rule chose.",
        titles={"score_accuracy": "Accuracy on test", "target": "Target", "chosen_by": "Chosen by"},
    )


@figure("DARE's effect by method: accuracy with DARE minus without, over all masks, with 95 % bootstrap intervals.")
def dare_effect(methods: DataFrame) -> alt.Chart:
    """Draw the loss under DARE for every method and target."""
    from compute.report.charts import dots_with_intervals

    return dots_with_intervals(
        methods,
        x="loss_difference",
        low="loss_low",
        high="loss_high",
        y="target",
        colour="method",
        title="What DARE does to accuracy",
        description="For each target and merge method, the change of accuracy under DARE.",
        titles={"loss_difference": "Change of accuracy", "target": "Target", "method": "Method"},
        number_format="+.0%",
        reference=(0.0, "no effect"),
    )


@figure("Dev accuracy of each expert (rows) on each locale (columns). REAL similarity is read from the columns.")
def transfer_matrix(transfer: DataFrame) -> alt.Chart:
    """Draw the transfer matrix."""
    from compute.report.charts import heatmap

    return heatmap(
        transfer,
        x="target",
        y="source",
        value="score_accuracy",
        title="Transfer matrix",
        description="Accuracy of the expert of each source locale on the development split of each target locale.",
        titles={"target": "Target", "source": "Expert", "score_accuracy": "Accuracy"},
    )


@figure("Typological similarity against measured transfer: each dot is a source of one of the targets.")
def similarity_and_transfer(sources: DataFrame) -> alt.Chart:
    """Draw whether URIEL predicts transfer."""
    from compute.report.charts import scatter

    return scatter(
        sources[sources["typology_value"].notna()],
        x="typology_value",
        y="test_accuracy",
        colour="target",
        point="source",
        title="Does typology predict transfer?",
        description="URIEL similarity of source and target against the source expert's accuracy on the target.",
        titles={
            "typology_value": "URIEL similarity",
            "test_accuracy": "Transfer, test",
            "target": "Target",
            "source": "Source",
        },
        trend=True,
    )


@figure("URIEL for sq-AL over 50 locales: raw similarity against the weight that Sinkhorn normalisation gives.")
def similarity_and_weight(typology: DataFrame) -> alt.Chart:
    """Draw how Sinkhorn reorders the most similar locales."""
    from compute.report.charts import scatter

    top = typology["weight_rank"] <= 3
    frame = typology.assign(group=["document's sources" if is_top else "others" for is_top in top])
    return scatter(
        frame,
        x="similarity",
        y="weight",
        colour="group",
        point="locale",
        title="Similarity and Sinkhorn weight",
        description="For each of 49 locales, its raw typological similarity to sq-AL and its Sinkhorn weight.",
        titles={"similarity": "Raw URIEL similarity", "weight": "Sinkhorn weight", "locale": "Locale", "group": ""},
        number_format=".2f",
    )


@figure(
    "What each way gains over the weighted average of the same sources, pooled over the targets, with 95 % bootstrap "
    "intervals. If no way had any effect, one interval in twenty would still leave out zero."
)
def ways_against_the_average(more_pooled: DataFrame) -> alt.Chart:
    """Draw a dot a way, the best first."""
    from compute.report.charts import dots_with_intervals

    return dots_with_intervals(
        more_pooled.sort_values("gain_difference", ascending=False, kind="stable"),
        x="gain_difference",
        low="gain_low",
        high="gain_high",
        y="way",
        title="Against the average",
        description="For each merge method, change of the average and ensemble, its accuracy minus the average's.",
        titles={"gain_difference": "Accuracy minus the average's", "way": "Way"},
        number_format="+.0%",
        reference=(0.0, "average"),
    )


FIGURES = (
    accuracy_by_selection,
    dare_effect,
    transfer_matrix,
    similarity_and_transfer,
    similarity_and_weight,
    ways_against_the_average,
)
