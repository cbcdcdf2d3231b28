from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from compute.adapters import document, scores
from compute.studies.adapter_translation import claims, published, tables

KNOWN = published.load()
TASKS = {task["task"]: task for task in KNOWN["main"]}


def whole_numbers(task: dict[str, Any], n: int) -> bool:
    """Tell whether all printed accuracies of a task are shares of *n*, rounded to three decimals."""
    return all(
        any(f"{count / n:.3f}" == f"{share:.3f}" for count in (int(share * n), int(share * n) + 1))
        for share in task["accuracy"].values()
    )


@pytest.mark.parametrize("name", TASKS)
def test_the_counts_give_the_printed_accuracies(name: str) -> None:
    task = TASKS[name]
    assert {system: f"{share:.3f}" for system, share in published.shares(task).items()} == {
        system: f"{share:.3f}" for system, share in task["accuracy"].items()
    }
    possible = [n for n in range(1, task["n"] + 1) if whole_numbers(task, n)]
    assert possible == ([290, 300] if name == "math_algebra_medium" else [task["n"]])


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("gsm_hard", "0.600"),
        ("math_algebra_medium", "3.000"),
        ("humaneval_plus", "-0.500"),
        ("mbpp_plus", "0.000"),
        ("arc_challenge", "1.333"),
    ],
)
def test_the_gaps_follow_from_the_counts(name: str, gap: str) -> None:
    assert f"{published.rule(TASKS[name]):.3f}" == gap == f"{TASKS[name]['gap']:.3f}"


def test_where_oracle_and_base_are_equal_there_is_no_gap() -> None:
    assert published.rule(TASKS["mmlu_college_chemistry"]) is None
    assert TASKS["mmlu_college_chemistry"]["gap"] is None


@pytest.mark.parametrize(
    ("domain", "average"),
    [("math", "1.800000000000002"), ("code", "-0.2500000000000003"), ("science", "1.3333333333333333")],
)
def test_the_domain_averages_come_out_bit_for_bit(domain: str, average: str) -> None:
    gaps = [published.rule(task) for task in KNOWN["main"] if task["domain"] == domain]
    assert repr(document.document_average(gaps)) == average == repr(KNOWN["criteria"]["domain_average"][domain])


def test_the_success_criterion_is_minus_zero() -> None:
    found = published.criterion(KNOWN)
    assert f"{found:.3f}" == "-0.000" == KNOWN["criteria"]["best_learned_minus_mean"]
    assert found == pytest.approx(-0.00036956974920919944, rel=1e-12)


def test_what_follows_and_what_does_not() -> None:
    rows = published.implied(KNOWN)
    follows = {str(row["statement"]): row["follows"] for row in rows}
    assert len(follows) == len(rows)
    rules = {name: held for name, held in follows.items() if name.startswith("The gap recovered is that of")}
    assert [name for name, held in rules.items() if held] == [
        "The gap recovered is that of the best of all six methods, the mean among them"
    ]
    assert len(rules) == 8
    assert not follows["The oracle is above the mean baseline, over all tasks"]
    assert not follows["Best learned method minus mean, over all six tasks: the best of five, one for all tasks"]
    assert follows["Best learned method minus mean, over all six tasks: the best of each task"]
    assert all(held for name, held in follows.items() if "gap recovered" in name and name.split(":")[0] in TASKS)
    assert sum(follows.values()) == 6 + 6 + 3 + 1 + 1


def test_the_mean_beats_the_oracle() -> None:
    averages = [sum(published.shares(task)[name] for task in KNOWN["main"]) / 6 for name in ("mean", "oracle")]
    assert [round(100 * share, 2) for share in averages] == [26.05, 25.96]


def test_no_oracle_differs_by_more_than_noise() -> None:
    rows: list[Any] = published.noise(KNOWN)
    assert [round(row["z"], 2) for row in rows] == [0.83, 0.14, -0.42, 0.10, 0.54, 0.0]
    assert all(row["low"] < 0 < row["high"] for row in rows)
    assert max(row["difference"] for row in rows) < scores.LEAST_GAIN
    assert min(row["least_p"] for row in rows) == 2 * 0.5**6


def test_newcombes_interval_is_his() -> None:
    """The contrast 9 of 10 against 3 of 10 of Newcombe 1998, table II, method 10."""
    low, high = published._newcombe(9, 3, 10)
    assert (round(low, 4), round(high, 4)) == (0.1705, 0.8090)
    assert published._newcombe(3, 9, 10) == pytest.approx((-high, -low))


def test_the_selections_are_never_of_the_tasks_own_domain() -> None:
    assert {row["same_domain"] for row in published.selections(KNOWN)} == {0.0}


def test_tables_of_published_numbers_have_their_columns() -> None:
    found = published.results()
    for table in tables.TABLES:
        for row in found.get(table.rows, ()):
            assert {column.name for column in table.columns} <= set(row)
    assert len({table.name for table in tables.TABLES}) == len(tables.TABLES)


def compared(what: str, low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame([{"what": what, "found_difference": (low + high) / 2, "found_low": low, "found_high": high}])


@pytest.mark.parametrize(("low", "high", "holds"), [(0.01, 0.2, True), (-0.1, 0.1, None), (-0.2, -0.01, False)])
def test_that_one_is_better_is_judged_by_the_interval(low: float, high: float, holds: bool | None) -> None:
    assert claims.pairing_matters.function(compared(claims.PAIRING, low, high)).holds is holds
    assert claims.pairing_matters.function(compared("another", low, high)).why == claims.NOT_HERE


@pytest.mark.parametrize(
    ("low", "high", "holds"), [(-0.05, 0.005, True), (-0.05, 0.05, None), (0.02, 0.05, False), (-0.2, -0.1, True)]
)
def test_that_something_does_not_help_needs_a_narrow_interval(low: float, high: float, holds: bool | None) -> None:
    assert claims.nearest_do_not_help.function(compared(claims.NEAREST, low, high)).holds is holds


def ablation(**bounds: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "policy": key.split("_")[0],
                "space": key.split("_")[1],
                "method": "pertensor_ridge",
                "pooled_difference": sum(pair) / 2,
                "pooled_difference_low": pair[0],
                "pooled_difference_high": pair[1],
            }
            for key, pair in bounds.items()
        ]
    )


@pytest.mark.parametrize(
    ("shared", "independent", "holds"),
    [
        ((0.3, 0.5), (0.01, 0.08), True),
        ((0.3, 0.5), (0.01, 0.35), None),
        ((-0.1, 0.05), (-0.4, -0.2), None),
        ((-0.3, -0.2), (-0.6, -0.4), False),
        ((0.3, 0.5), (0.6, 0.7), False),
    ],
)
def test_factors_must_gain_something_and_clearly_more_from_a_shared_beginning(
    shared: tuple[float, float], independent: tuple[float, float], holds: bool | None
) -> None:
    frame = ablation(shared_factor=shared, independent_factor=independent)
    assert claims.factors_need_one_beginning.function(frame).holds is holds


@pytest.mark.parametrize(
    ("delta", "holds"), [((0.1, 0.2), True), ((0.05, 0.2), None), ((-0.3, -0.1), False), ((0.09, 0.1), True)]
)
def test_delta_must_clearly_gain_more_than_factors_without_a_shared_beginning(
    delta: tuple[float, float], holds: bool | None
) -> None:
    frame = ablation(independent_factor=(0.01, 0.08), independent_delta=delta)
    assert claims.delta_survives.function(frame).holds is holds


def test_claims_are_open_where_a_profile_has_no_rows() -> None:
    empty = pd.DataFrame()
    for each in claims.CLAIMS:
        if not each.needs[0].startswith("published"):
            found = each.function(*[empty for _ in each.needs])
            assert (found.holds, found.why) == (None, claims.NOT_HERE)


def test_claims_on_the_published_numbers_hold() -> None:
    found = published.results()
    held = [
        each.function(pd.DataFrame(found[each.needs[0]]))
        for each in claims.CLAIMS
        if each.needs[0].startswith("published")
    ]
    assert [evidence.holds for evidence in held] == [True, True]
    assert "−0.037 points" in held[0].measured
    assert "2.0 points" in held[1].measured
