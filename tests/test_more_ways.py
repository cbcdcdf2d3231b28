"""What the study adds to the document: its config refuses what cannot work, and names its cells by what they do."""

from __future__ import annotations

from typing import Any

import pytest
from project import Project

from compute import config as configs
from compute import study as studies
from compute.cells.models import AS_ALL_ELSE, Policies
from compute.errors import UsageError

STUDY = "dare-source-selection"


def results(*changes: str) -> dict[str, list[dict[str, Any]]]:
    study = studies.load(STUDY)
    return dict(study.results(configs.load(study, "mini", changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("options={pcb: {densty: 0.1}}", "density"),
        ("options={nothing: {}}", "nothing"),
        ("options={ties: {density: 0.1}}", "set `density` itself"),
        ("more_methods=emr", "emr needs the target"),
        ("ensembles=majorty", "majority"),
        ("dtype=float16", "dtype"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        results(change)


def test_the_usual_policies_are_not_in_a_name_and_others_are() -> None:
    assert str(AS_ALL_ELSE) == ""
    assert str(Policies(embeddings="seen", head="best", lines=(1.0, 2.0))) == "+embeddings=seen+head=best+lines"


def test_every_way_is_compared_on_every_target_and_none_twice() -> None:
    found = results()
    ways = [row["way"] for row in found["more_pooled"]]
    assert len(set(ways)) == len(ways)
    by_target: dict[str, list[str]] = {}
    for row in found["more"]:
        by_target.setdefault(row["target"], []).append(row["way"])
    assert all(names == ["average", *ways] for names in by_target.values())
    assert [row["way"] for row in found["more"] if "gain" not in row] == ["average"] * len(by_target)


def test_votes_ask_no_model() -> None:
    zero_shot = {cell.key for row in results()["sources"] for cell in row["test"].inputs}
    votes = [row["score"] for row in results()["more"] if row["kind"] == "ensemble"]
    members = [cell for vote in votes for cell in vote.inputs if cell.name.startswith("logits/")]
    assert members
    assert {cell.key for cell in members} <= zero_shot


def test_what_the_faults_change_is_compared_on_as_many_sources_by_the_same_method() -> None:
    for row in results("count=4")["faults"]:
        assert row["chosen"].arguments["count"] == row["corrected_sources"].arguments["count"] == 4
        assert row["faulty"].name.startswith(f"evaluation/{row['method']}/as-published/")
        assert row["corrected"].name.startswith(f"evaluation/{row['method']}/p=0.0/")


def test_float32_adds_nothing_and_bfloat16_counts_what_flips(project: Project) -> None:
    assert results()["flips"] == []
    done = project.run("build", STUDY, "--set", "dtype=bfloat16", tiny=True)
    assert done.returncode == 0, done.stderr
    page = (project.root / "docs/studies" / STUDY / "index.md").read_text(encoding="utf-8")
    assert 'id="table-flips"' in page
    assert "measured in bfloat16" in page
    assert (project.root / "docs/studies" / STUDY / "data/flips.csv").read_text(encoding="utf-8").count("bfloat16") == 4
