"""What there is: studies, cells, locales, methods and profiles, as rows for people and programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compute import plugins, study

if TYPE_CHECKING:
    from compute.session import Session

Row = dict[str, Any]

PACKAGES = {
    "merge method": "compute.merging.methods",
    "coefficient rule": "compute.merging.coefficients",
    "selection rule": "compute.similarity.selection",
    "ensemble rule": "compute.evaluation.ensembles",
    "translation method": "compute.adapters.methods",
}
"""The kinds of plug-in and where each lives."""


def rows(what: str, session: Session | None) -> list[Row]:
    """Return the rows of a kind; cells need an open *session*."""
    if what == "cells":
        return _cells(session) if session else []
    return _LISTS[what]()


def _cells(session: Session) -> list[Row]:
    plan = session.plan()
    return [
        {"cell": name, "key": cell.key[:12], "state": "fresh" if plan.steps[cell.key].fresh else "to run"}
        for name, cell in session.cells.items()
    ]


def _studies() -> list[Row]:
    found = [study.load(slug) for slug in study.slugs()]
    return [{"study": item.slug, "title": item.title, "profiles": ",".join(item.profiles())} for item in found]


def _profiles() -> list[Row]:
    return [{"study": slug, "profile": name} for slug in study.slugs() for name in study.load(slug).profiles()]


def _locales() -> list[Row]:
    from compute.locales import LOCALES

    return [
        {"locale": item.code, "language": item.language, "family": item.family, "script": item.script}
        for item in LOCALES.values()
    ]


def _methods() -> list[Row]:
    return [
        {"method": name, "kind": kind, "summary": _summary(package, name)}
        for kind, package in PACKAGES.items()
        for name in plugins.names(package)
    ]


def _summary(package: str, name: str) -> str:
    return (inspect.getdoc(plugins.load(package, name)) or "").partition("\n")[0]


_LISTS: dict[str, Callable[[], list[Row]]] = {
    "studies": _studies,
    "profiles": _profiles,
    "locales": _locales,
    "methods": _methods,
}
