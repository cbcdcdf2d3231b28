"""What the document's own numbers imply, recomputed: which statements follow from its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compute.study import Row


def implied(published: Mapping[str, Any]) -> list[Row]:
    """Return a row for each statement: as stated, as it follows from the tables, and whether they agree."""
    return [*_differences(published), *_relative(published), *_counts(published), *_weights(published)]


def _row(statement: str, stated: float, found: float, digits: int, unit: str) -> Row:
    """Compare as printed: the recomputed number, rounded like the stated one, must be the same."""
    return {
        "statement": statement,
        "stated": f"{stated:+.{digits}f} {unit}".replace("-", "−"),
        "implied": f"{found:+.{digits + 1}f} {unit}".replace("-", "−"),
        "follows": abs(round(found, digits) - stated) < 10**-digits / 2,
    }


def _differences(published: Mapping[str, Any]) -> Iterator[Row]:
    *systems, baseline = published["primary"]
    for row in systems:
        found = row["accuracy"] - baseline["accuracy"]
        yield _row(f"{row['system']} against the best zero-shot source", row["difference"], found, 2, "points")


def _relative(published: Mapping[str, Any]) -> Iterator[Row]:
    rows = published["dare"]
    for row in rows:
        found = 100 * (row["plain"] / row["baseline"] - 1)
        digits = 1 if row["gain_percent"] == round(row["gain_percent"], 1) else 2
        yield _row(f"{row['target']}: gain over the baseline", row["gain_percent"], found, digits, "%")
    drops = [100 * (row["dare"] / row["plain"] - 1) for row in rows]
    stated = published["dare_drop_percent"]
    yield _row("smallest loss under DARE", stated["smallest"], max(drops), 0, "%")
    yield _row("largest loss under DARE", stated["largest"], min(drops), 0, "%")


def _counts(published: Mapping[str, Any]) -> Iterator[Row]:
    """An accuracy over n utterances is a whole number of them: is there one that rounds to what is printed?"""
    n = published["document"]["examples"]
    columns = ("baseline", "plain", "dare")
    stated = {f"{row['target']}, {name}": row[name] for row in published["dare"] for name in columns}
    stated |= {f"sw-KE from {row['source']}": row["transfer"] for row in published["sources"]}
    stated |= {"sq-AL, URIEL": published["primary"][0]["accuracy"]}
    for what, accuracy in stated.items():
        correct = round(accuracy / 100 * n)
        found = 100 * correct / n
        yield {
            "statement": f"{what}: a share of {n} utterances",
            "stated": f"{accuracy:.2f} %",
            "implied": f"{correct} of {n} = {found:.3f} %",
            "follows": abs(round(found, 2) - accuracy) < 0.005,
        }


def _weights(published: Mapping[str, Any]) -> Iterator[Row]:
    total = sum(row["weight"] or 0 for row in published["sources"])
    yield _row("sw-KE: weights of the three chosen sources", 100.0, total, 1, "%")
