"""Pins a profile's hub repositories to commits: writes them to a lock file beside the profile."""

from __future__ import annotations

from typing import Any

import yaml

from compute import config as configs
from compute.cells.zoo import repositories
from compute.errors import UsageError
from compute.settings import Hub
from compute.study import Study


def write_lock(study: Study, profile: str) -> str:
    """Ask the hub for the present commit of every repository; return what was done, in a line."""
    config: Any = configs.load(study, profile)
    if not isinstance(getattr(config, "models", None), Hub):
        raise UsageError(f"{study.slug}, {profile}: takes no models from the hub, so there is nothing to pin")
    revisions = {repo: _commit(repo) for repo in repositories(config.models, config.locales)}
    path = study.folder / f"{profile}.lock.yaml"
    path.write_text(yaml.safe_dump({"models": {"revisions": revisions}}), encoding="utf-8")
    return f"{len(revisions)} repositories pinned in {path.name}"


def _commit(repo: str) -> str:
    from huggingface_hub import HfApi, errors

    try:
        return str(HfApi().model_info(repo).sha)
    except errors.RepositoryNotFoundError:
        raise UsageError(f"the hub has no repository {repo}, or it is private: check its name") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise UsageError(f"{repo}: the hub cannot be reached ({type(error).__name__}); try again online") from None
