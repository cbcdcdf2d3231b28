"""The study's tables: which result each shows, and its columns."""

from __future__ import annotations

from compute.study import Column, Table

SCORE = Column("score_accuracy", "Accuracy", "percent", "score_low", "score_high")
GAIN = Column("goal_difference", "Against best source", "points", "goal_low", "goal_high")
BEST = (
    Column("goal_best", "Best zero-shot source", "locale"),
    Column("goal_best_accuracy", "Best zero-shot accuracy", "percent", "goal_best_low", "goal_best_high"),
)
TARGET = Column("target", "Target", "locale")
SOURCES = Column("sources", "Sources selected", "locales")
GOAL_1 = Column("goal_reached", "Goal 1", "bool")
DARE = (
    Column("dare_accuracy", "With DARE", "percent", "dare_low", "dare_high", note="mean; range over the masks"),
    Column("loss_difference", "DARE's effect", "points", "loss_low", "loss_high"),
)

TABLES = (
    Table(
        "configurations",
        "configurations",
        "Configurations",
        (
            Column("config", "Config"),
            Column("similarity", "Similarity"),
            Column("drop_rate", "DARE drop rate", "number"),
            Column("targets", "Targets", "locales"),
        ),
    ),
    Table(
        "primary",
        "primary",
        "URIEL against REAL, both selected by Sinkhorn",
        (
            Column("system", "Similarity"),
            SOURCES,
            Column("published_sources", "Published", "locales"),
            SCORE,
            Column("published_accuracy", "Published", "percent", digits=2),
            GAIN,
            Column("published_difference", "Published", "points", digits=2),
            Column("goal_p", "McNemar p", "p"),
        ),
        published="primary",
        on=("system",),
    ),
    Table(
        "selection",
        "selection",
        "Every selection rule on every target",
        (
            TARGET,
            Column("similarity", "Similarity"),
            Column("rule", "Rule"),
            SOURCES,
            Column("chosen_accuracy", "Mean transfer of the sources", "percent"),
            SCORE,
            GAIN,
        ),
    ),
    Table(
        "dare",
        "dare",
        "DARE on the sources that Sinkhorn selects from REAL",
        (
            TARGET,
            BEST[1],
            Column("published_baseline", "Published", "percent", digits=2),
            Column("score_accuracy", "No DARE", "percent", "score_low", "score_high"),
            Column("published_plain", "Published", "percent", digits=2),
            DARE[0],
            Column("published_dare", "Published", "percent", digits=2),
            Column("goal_reached", "Goal 1 without DARE", "bool"),
            Column("published_goal", "Published", "bool"),
            DARE[1],
            GAIN,
            BEST[0],
        ),
        published="dare",
        on=("target",),
    ),
    Table(
        "methods",
        "methods",
        "Merge methods with and without DARE, on the sources with the highest transfer",
        (
            TARGET,
            Column("method", "Method"),
            Column("score_accuracy", "No DARE", "percent", "score_low", "score_high"),
            *DARE,
            GAIN,
            GOAL_1,
        ),
    ),
    Table(
        "include_target",
        "include_target",
        "With the target's own expert among the candidates (IncTar)",
        (
            TARGET,
            Column("method", "Method"),
            SOURCES,
            Column(
                "score_accuracy",
                "Accuracy",
                "percent",
                "score_low",
                "score_high",
                note="emr keeps a mask of one source",
            ),
            Column("own_accuracy", "Target's own expert", "percent", "own_low", "own_high"),
            Column("goal_difference", "Difference", "points", "goal_low", "goal_high"),
            Column("goal_reached", "Goal 2", "bool"),
        ),
    ),
    Table(
        "sources",
        "sources",
        "Each source's measured transfer, and who selects it",
        (
            TARGET,
            Column("source", "Source", "locale"),
            Column("test_accuracy", "Transfer, test", "percent", "test_low", "test_high"),
            Column("published_transfer", "Published", "percent", digits=2),
            Column("sinkhorn_weight", "Weight by Sinkhorn", "percent"),
            Column("published_weight", "Published", "percent"),
            Column("top_k_weight", "Weight by top-k", "percent"),
            Column("dev_accuracy", "Transfer, dev (REAL)", "percent"),
            Column("typology_value", "URIEL similarity", "number", digits=3),
        ),
        published="sources",
        on=("target", "source"),
    ),
    Table(
        "typology",
        "typology",
        "URIEL for sq-AL over 50 locales: raw similarity against the document's Sinkhorn weights",
        (
            Column("locale", "Locale", "locale"),
            Column("similarity", "Raw similarity", "number", digits=4),
            Column("rank", "Rank", "number", digits=0),
            Column("weight", "Sinkhorn weight", "number", digits=4),
            Column("weight_rank", "Rank by weight", "number", digits=0),
        ),
    ),
    Table(
        "transfer",
        "transfer",
        "Transfer matrix on dev",
        (
            Column("source", "Source", "locale"),
            Column("target", "Target", "locale"),
            Column("score_accuracy", "Accuracy", "percent", "score_low", "score_high"),
        ),
    ),
    Table(
        "more",
        "more",
        "What can be done with the sources that REAL by top-k selects, against their weighted average",
        (
            TARGET,
            Column("way", "Way"),
            Column("kind", "Kind"),
            SCORE,
            Column(
                "gain_difference", "Against the average", "points", "gain_low", "gain_high", note="paired bootstrap"
            ),
        ),
    ),
    Table(
        "faults",
        "faults",
        "Merges as the predecessor made them, and corrected",
        (
            TARGET,
            Column("similarity", "Similarity"),
            Column("method", "Method"),
            Column("faulty_accuracy", "As published", "percent", "faulty_low", "faulty_high"),
            Column("corrected_accuracy", "Corrected", "percent", "corrected_low", "corrected_high"),
            Column("cost_difference", "Difference", "points", "cost_low", "cost_high"),
            Column("chosen", "Sources as published", "locales", note="the first stands for the base"),
            Column("corrected_sources", "Sources corrected", "locales"),
            Column("sources_accuracy", "Only sources corrected", "percent", "sources_low", "sources_high"),
        ),
    ),
    Table(
        "faults_pooled",
        "faults_pooled",
        "What correcting the faults gains, pooled over the targets",
        (
            Column("similarity", "Similarity"),
            Column("method", "Method"),
            Column("cost_difference", "All faults", "points", "cost_low", "cost_high"),
            Column("choice_difference", "Choice of sources", "points", "choice_low", "choice_high"),
            Column("base_difference", "Then the base", "points", "base_low", "base_high"),
            Column("cost_n", "Utterances", "number", digits=0),
        ),
    ),
    Table(
        "flips",
        "flips",
        "Predictions that the type of numbers changes",
        (
            Column("locale", "Expert, on its own locale", "locale"),
            Column("flips_dtype", "Type", "code"),
            Column("flips_reference", "Against", "code"),
            Column("flips_flips", "Predictions that flip", "number", digits=0),
            Column("flips_n", "Utterances", "number", digits=0),
            Column("flips_share", "Share", "percent", digits=2),
        ),
    ),
    Table(
        "spreads",
        "spreads",
        "How far accuracy moves",
        (
            TARGET,
            Column("spread_selection", "With the selection", "points"),
            Column("spread_method", "With the method", "points"),
            Column("spread_difference", "Difference", "points", "spread_low", "spread_high"),
        ),
    ),
    Table(
        "pooled",
        "pooled",
        "Comparisons pooled over the targets",
        (
            Column("what", "Comparison"),
            Column("pooled_difference", "Difference", "points", "pooled_low", "pooled_high"),
            Column("pooled_n", "Utterances", "number", digits=0),
        ),
    ),
)
