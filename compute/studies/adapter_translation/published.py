"""The document's own numbers, recomputed: which statements follow from its tables, and how much they can carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.adapters import document
from compute.evaluation import metrics
from compute.study import Row

LEARNED = ("global_ridge", "pertensor_ridge", "topk_global_ridge", "topk_pertensor_ridge", "pertensor_mlp")
METHODS = ("mean", *LEARNED)
"""What the document takes the best of, for its gap."""


def load() -> dict[str, Any]:
    """Read the document's tables from `published.yaml`."""
    import yaml

    return dict(yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8")))


def results(published: Mapping[str, Any] | None = None) -> dict[str, list[Row]]:
    """Return what the page shows of the published numbers, by the names that tables and claims know it by."""
    known = load() if published is None else published
    return {
        "published_table": table(known),
        "published_noise": noise(known),
        "published_selections": selections(known),
    }


def shares(task: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracies of a published task without rounding, from its counts."""
    return {system: count / task["n"] for system, count in task["correct"].items()}


def rule(task: Mapping[str, Any]) -> float | None:
    """Compute a task's gap by the document's rule, from the counts."""
    found = shares(task)
    return document.document_rule(found["base"], [found[name] for name in METHODS], found["oracle"])


def criterion(published: Mapping[str, Any]) -> float:
    """Compute the document's success criterion without rounding, from the counts."""
    found = [shares(task) for task in published["main"]]
    return document.document_criterion(
        [task["mean"] for task in found], [[task[name] for name in LEARNED] for task in found]
    )


def table(published: Mapping[str, Any]) -> list[Row]:
    """Return the main table as printed, with what its rounding hides: counts, the unrounded gap, whose it is."""
    return [
        {
            "domain": task["domain"],
            "task": task["task"],
            **task["accuracy"],
            "gap": task["gap"],
            "implied": rule(task),
            "best": _best(task),
            "n": task["n"],
            **{f"{system}_correct": count for system, count in task["correct"].items()},
            "gain": max(shares(task)[name] for name in LEARNED) - shares(task)["mean"],
        }
        for task in published["main"]
    ]


def _best(task: Mapping[str, Any]) -> str:
    right = {name: task["correct"][name] for name in METHODS}
    best = [name for name, count in right.items() if count == max(right.values())]
    return ", ".join(best)


def noise(published: Mapping[str, Any]) -> list[Row]:
    """Set each oracle's gain over its base beside what chance alone would do.

    Without the single answers only the spread of two independent shares is known: `low` and `high` are the hybrid
    score interval (Newcombe 1998, Statistics in Medicine 17:873, method 10), `z` the difference in standard errors.
    `least_p` is what McNemar's test would give in the most favourable case, in which the oracle's answers differ from
    the base's in one direction alone; `luck` is by how much the best of six equally good methods would lead by chance,
    were their errors independent.
    """
    return [_noise(task) for task in published["main"]]


def _noise(task: Mapping[str, Any]) -> Row:
    n, base, oracle = task["n"], task["correct"]["base"], task["correct"]["oracle"]
    low, high = _newcombe(oracle, base, n)
    spread = sum(share * (1 - share) / n for share in (base / n, oracle / n)) ** 0.5
    return {
        "domain": task["domain"],
        "task": task["task"],
        "n": n,
        "base": base,
        "oracle": oracle,
        "difference": (oracle - base) / n,
        "low": low,
        "high": high,
        "z": (oracle - base) / n / spread,
        "least_p": min(1.0, 2.0 * 0.5 ** abs(oracle - base)),
        "luck": document.expected_luck(len(METHODS), base / n, n),
    }


def _newcombe(first: int, second: int, n: int) -> tuple[float, float]:
    """Bound the difference of two independent shares of *n*, by the Wilson interval of each."""
    (low_1, high_1), (low_2, high_2) = metrics.wilson(first, n), metrics.wilson(second, n)
    p, q = first / n, second / n
    below = ((p - low_1) ** 2 + (high_2 - q) ** 2) ** 0.5
    above = ((high_1 - p) ** 2 + (q - low_2) ** 2) ** 0.5
    return p - q - below, p - q + above


def selections(published: Mapping[str, Any]) -> list[Row]:
    """Return the anchors that the document's top-k selected, and how many are of the task's own domain."""
    domains = published["anchors"]
    return [
        {
            "domain": row["domain"],
            "task": row["task"],
            "pool": f"{row['pool']} only",
            "top": ", ".join(row["top"]),
            "same_domain": sum(domains[name] == row["domain"] for name in row["top"]) / len(row["top"]),
        }
        for row in published["selections"]
    ]


def implied(published: Mapping[str, Any]) -> list[Row]:
    """Return a row for each statement: as stated, as it follows from the tables, and whether they agree."""
    return [
        *_counts(published),
        *_gaps(published),
        *_averages(published),
        *_rules(published),
        *_criteria(published),
        *_oracles(published),
        *_chosen(published),
    ]


def _row(statement: str, stated: str, implied: str, follows: bool) -> Row:
    words = {"statement": statement, "stated": stated.replace("-", "−"), "implied": implied.replace("-", "−")}
    return {**words, "follows": follows}


def _printed(gap: float | None) -> str:
    return "NA" if gap is None else f"{gap:.3f}"


def _counts(published: Mapping[str, Any]) -> Iterator[Row]:
    """An accuracy over n examples is a whole number of them: are there eight that round to what is printed?"""
    for task in published["main"]:
        stated = [f"{share:.3f}" for share in task["accuracy"].values()]
        found = [f"{share:.3f}" for share in shares(task).values()]
        right = ", ".join(map(str, task["correct"].values()))
        yield _row(
            f"{task['task']}: eight shares of {task['n']} answers",
            ", ".join(stated),
            f"{right} of {task['n']}",
            stated == found,
        )


def _gaps(published: Mapping[str, Any]) -> Iterator[Row]:
    for task in published["main"]:
        right, stated = task["correct"], _printed(task["gap"])
        best = max(right[name] for name in METHODS)
        found = rule(task)
        value = "NA, as nothing can be divided by 0" if found is None else f"{found!r}"
        ratio = f"({best} − {right['base']}) / ({right['oracle']} − {right['base']}) = {value}"
        yield _row(f"{task['task']}: gap recovered", stated, ratio, _printed(found) == stated)


def _averages(published: Mapping[str, Any]) -> Iterator[Row]:
    """The document prints these without rounding, so they must agree to the last digit."""
    for domain, stated in published["criteria"]["domain_average"].items():
        found = document.document_average([rule(task) for task in published["main"] if task["domain"] == domain])
        yield _row(f"{domain}: average gap recovered, without NA", repr(stated), repr(found), found == stated)


def _rules(published: Mapping[str, Any]) -> Iterator[Row]:
    """Which rule gives the column of gaps: its name does not say what enters it."""
    stated = [_printed(task["gap"]) for task in published["main"]]
    by_rule = {
        "the best of all six methods, the mean among them": METHODS,
        "the best learned method, as in the success criterion": LEARNED,
        **{f"{name} alone": (name,) for name in METHODS},
    }
    for name, methods in by_rule.items():
        found = [_printed(_gap(task, methods)) for task in published["main"]]
        yield _row(f"The gap recovered is that of {name}", ", ".join(stated), ", ".join(found), found == stated)


def _gap(task: Mapping[str, Any], methods: Sequence[str]) -> float | None:
    found = shares(task)
    return document.document_rule(found["base"], [found[name] for name in methods], found["oracle"])


def _criteria(published: Mapping[str, Any]) -> Iterator[Row]:
    stated = published["criteria"]["best_learned_minus_mean"]
    found = criterion(published)
    text = "Best learned method minus mean, over all six tasks"
    yield _row(f"{text}: the best of each task", stated, f"{found:.5f}", f"{found:.3f}" == stated)
    alone = {name: _average(published, name) - _average(published, "mean") for name in LEARNED}
    best = max(alone, key=lambda name: alone[name])
    value = f"{alone[best]:.5f} ({best})"
    yield _row(f"{text}: the best of five, one for all tasks", stated, value, f"{alone[best]:.3f}" == stated)


def _average(published: Mapping[str, Any], system: str) -> float:
    tasks = published["main"]
    return float(sum(shares(task)[system] for task in tasks) / len(tasks))


def _oracles(published: Mapping[str, Any]) -> Iterator[Row]:
    """What an oracle is for: to be above the base, and above what does not learn the task."""
    oracle, mean = _average(published, "oracle"), _average(published, "mean")
    value = f"oracle {100 * oracle:.2f} %, mean {100 * mean:.2f} %"
    yield _row("The oracle is above the mean baseline, over all tasks", "oracle", value, oracle > mean)
    gains = [row["z"] for row in noise(published)]
    listed = ", ".join(f"{z:.2f}" for z in gains)
    yield _row(
        "The oracles gain more over their bases than chance would, in standard errors",
        "above 1.96",
        listed,
        all(z > 1.96 for z in gains),  # type: ignore[operator]  # rows hold any object
    )
    for task in published["main"]:
        right, found = task["correct"], rule(task)
        gain = max(right[name] for name in METHODS) - right["base"]
        if found and (found > 0) != (gain > 0):
            text = f"{task['task']}: a method above the base has a gap above 0, one below it a gap below 0"
            yield _row(text, "same sign", f"{gain:+d} answers, gap {found:.3f}", False)


def _chosen(published: Mapping[str, Any]) -> Iterator[Row]:
    domains = published["anchors"]
    rows = published["selections"]
    picked = [(row, name) for row in rows for name in row["top"]]
    own = sum(domains[name] == row["domain"] for row, name in picked)
    pool = sum(domains[name] == row["pool"] for row, name in picked)
    yield _row(
        "The top-k selections are made among all anchors",
        "all anchors",
        f"{pool} of {len(picked)} from the best pool alone, {own} of the task's own domain",
        pool < len(picked),
    )
