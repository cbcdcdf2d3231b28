"""Pins the hub repositories that a profile needs to commits: writes them to a lock file beside the profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml

from compute import config as configs
from compute.errors import UsageError
from compute.study import Repository, Study

Named = tuple[Literal["model", "dataset"], str]
"""A kind of repository, and a name."""


def write_lock(study: Study, profile: str) -> str:
    """Ask the hub for the present commit of every repository; return what was done, in a line."""
    needed = list(dict.fromkeys(study.repositories(configs.load(study, profile))))
    if not needed:
        raise UsageError(f"{study.slug}, {profile}: takes nothing from the hub, so there is nothing to pin")
    commits = {key: _commit(*key) for key in dict.fromkeys((item.kind, item.name) for item in needed)}
    path = study.folder / f"{profile}.lock.yaml"
    path.write_text(yaml.safe_dump(_laid_out(needed, commits)), encoding="utf-8")
    return f"{len(commits)} repositories pinned in {path.name}"


def _laid_out(needed: Sequence[Repository], commits: Mapping[Named, str]) -> dict[str, Any]:
    """Put each commit where the config has it."""
    laid: dict[str, Any] = {}
    for item in needed:
        revisions = laid
        for key in item.place:
            revisions = revisions.setdefault(key, {})
        revisions[item.name] = commits[item.kind, item.name]
    return laid


def _commit(kind: str, repo: str) -> str:
    from huggingface_hub import HfApi, errors

    what = "data set" if kind == "dataset" else "repository"
    api = HfApi()
    try:
        return str((api.dataset_info(repo) if kind == "dataset" else api.model_info(repo)).sha)
    except errors.RepositoryNotFoundError:
        raise UsageError(f"the hub has no {what} {repo}, or it is private: check its name") from None
    except (errors.HfHubHTTPError, errors.HTTPError, OSError) as error:
        raise UsageError(f"{repo}: the hub cannot be reached ({type(error).__name__}); try again online") from None
