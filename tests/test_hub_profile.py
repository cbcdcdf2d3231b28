"""The paper profile end to end against a hub on loopback: pinned, checked, computed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import hub
import pytest
from project import REPOSITORY, Project, make

pytestmark = pytest.mark.slow

LOCALES = ("sq-AL", "de-DE", "it-IT", "tr-TR")
STUDY = "dare-source-selection"
SET = (
    *("--profile", "paper", "--set", f"locales={','.join(LOCALES)}", "--set", "targets=sq-AL"),
    *("--set", "data=rows.parquet", "--set", "count=2", "--set", "draws=1"),
)


@pytest.fixture
def package(tmp_path: Path) -> Project:
    """A project with a copy of the package, since pinning writes beside the profile."""
    project = make(tmp_path / "project")
    shutil.copytree(REPOSITORY / "compute", project.root / "compute")
    rows().to_parquet(project.root / "rows.parquet")
    return project


@pytest.fixture
def environment(tmp_path: Path, package: Project) -> Iterator[dict[str, str]]:
    publish(tmp_path / "hub")
    with hub.serve(tmp_path / "hub") as endpoint:
        yield {**hub.environment(endpoint, tmp_path / "home"), "PYTHONPATH": str(package.root)}


def rows():  # type: ignore[no-untyped-def]
    import pandas as pd

    from compute.evaluation.phrasebook import expand

    return pd.DataFrame([row for locale in LOCALES for row in expand(locale, seed=0, train=4, dev=3, test=3)])


def publish(root: Path) -> None:
    """Lay out a base without a head, and experts that moved a little from it, as the hub has them."""
    import torch

    from compute.models.build import new_base
    from compute.models.load import save
    from compute.models.recipes import Architecture
    from compute.models.tokenizer import train

    data = rows()
    made = new_base(
        Architecture(hidden=16, layers=1, heads=2, vocabulary=300),
        train(data["utt"].tolist(), vocabulary=300),
        sorted(data["intent"].unique()),
        seed=0,
    )
    body = {name: tensor for name, tensor in made.tensors.items() if not name.startswith("classifier.")}
    base = root / "models/FacebookAI/xlm-roberta-base/main"
    save(made, base)
    from safetensors.torch import save_file

    save_file(body, base / "model.safetensors", metadata={"format": "pt"})
    for seed, locale in enumerate(LOCALES):
        rng = torch.Generator().manual_seed(seed)
        moved = {name: t + 0.01 * torch.randn(t.shape, generator=rng) for name, t in made.tensors.items()}
        place = f"models/haryoaw/xlm-roberta-base_massive_k_{locale}/main/alpha_0.5_{locale}_epoch-9"
        save(dataclasses.replace(made, tensors=moved), root / place)


def test_unpinned_repositories_are_refused_then_pinned_then_computed(
    package: Project, environment: dict[str, str]
) -> None:
    refused = package.run("build", STUDY, *SET, **environment)
    assert refused.returncode == 2
    assert "no revision is pinned" in refused.stderr

    locked = package.run("lock", STUDY, "--profile", "paper", **environment)
    assert locked.returncode == 2, "the profile names locales that this hub lacks"
    assert "sw-KE" in locked.stderr

    profile = package.root / "compute/studies/dare_source_selection/paper.yaml"
    text = profile.read_text(encoding="utf-8")
    start, end = text.index("locales:"), text.index("lead:")
    profile.write_text(
        f"{text[:start]}locales: [{', '.join(LOCALES)}]\ntargets: [sq-AL]\n{text[end:]}", encoding="utf-8"
    )
    locked = package.run("lock", STUDY, "--profile", "paper", **environment)
    assert locked.returncode == 0, locked.stderr
    assert "5 repositories pinned" in locked.stdout

    done = package.run("build", STUDY, *SET, **environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert " 0 failed" in done.stdout


def test_a_missing_repository_is_refused_before_anything_runs(package: Project, environment: dict[str, str]) -> None:
    base = hub.commit(Path("FacebookAI/xlm-roberta-base/main"))
    revisions = f"{{FacebookAI/xlm-roberta-base: '{base}', nobody/expert: '{'0' * 40}'}}"
    before = package.files()
    done = package.run(
        "build", STUDY, *SET, "--set", "models.experts=nobody/expert", "--set", f"models.revisions={revisions}",
        **environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nobody/expert" in done.stderr.strip().splitlines()[-1]
    assert package.files() == before


def test_experts_in_folders_load_by_the_same_code_without_a_pin(package: Project, tmp_path: Path) -> None:
    publish(tmp_path / "hub")
    models = tmp_path / "hub/models"
    folders = (
        *("--set", f"models.base={models}/FacebookAI/xlm-roberta-base/main"),
        *("--set", f"models.experts={models}/haryoaw/xlm-roberta-base_massive_k_{{locale}}/main"),
    )
    here = {"PYTHONPATH": str(package.root), "HF_HUB_OFFLINE": "1"}
    done = package.run("build", STUDY, *SET, *folders, **here)
    assert done.returncode == 0, done.stderr
    moved = models.rename(tmp_path / "moved")
    again = [part.replace(str(models), str(moved)) for part in folders]
    assert " 0 computed" in package.run("build", STUDY, *SET, *again, **here).stdout, "a path is no part of a key"
    gone = package.run("build", STUDY, *SET, *folders, **here)
    assert gone.returncode == 2
    assert "no model in" in gone.stderr
