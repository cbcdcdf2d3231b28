"""Reference pages made from the project itself, so that they cannot rot: modules, plug-ins, commands, locales."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compute import plugins, study
from compute.listing import PACKAGES
from compute.locales import LOCALES
from compute.report.jinja import environment


def pages(root: Path) -> dict[str, str]:
    """Return the reference pages by file name."""
    made = environment(root)
    return {
        "modules.md": made.get_template("modules.md.j2").render(modules=list(modules())),
        "plugins.md": made.get_template("plugins.md.j2").render(kinds=_kinds()),
        "locales.md": made.get_template("locales.md.j2").render(locales=list(LOCALES.values())),
        "profiles.md": made.get_template("profiles.md.j2").render(studies=_profiles()),
    }


def modules() -> Iterator[dict[str, Any]]:
    """Describe every module of the package by the first sentence of its docstring."""
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        text = ast.get_docstring(ast.parse(source)) or ""
        if text:
            name = path.relative_to(package.parent).with_suffix("").as_posix().replace("/", ".")
            yield {
                "name": name.removesuffix(".__init__"),
                "text": " ".join(text.split("\n\n")[0].split()),
                "lines": source.count("\n"),
                "imports": sorted(_imports(source)),
            }


def _imports(source: str) -> set[str]:
    """Return the parts of the package that a module imports, as in "engine" or "merging"."""
    found = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("compute.")
    }
    return {name.split(".")[1] for name in found}


def _kinds() -> list[dict[str, Any]]:
    return [
        {"kind": kind, "package": package, "plugins": [_plugin(package, name) for name in plugins.names(package)]}
        for kind, package in PACKAGES.items()
    ]


def _plugin(package: str, name: str) -> dict[str, Any]:
    function = plugins.load(package, name)
    info = getattr(function, "info", None)
    return {
        "name": name,
        "signature": f"{name}{inspect.signature(function)}",
        "text": inspect.getdoc(function) or "",
        "paper": getattr(info, "paper", ""),
        "path": f"{package.replace('.', '/')}/{name}.py",
    }


def _profiles() -> list[dict[str, Any]]:
    loaded = [study.load(slug) for slug in study.slugs()]
    return [
        {"slug": item.slug, "title": item.title, "profiles": [_profile(item, name) for name in item.profiles()]}
        for item in loaded
    ]


def _profile(item: study.Study, name: str) -> dict[str, str]:
    return {"name": name, "text": (item.folder / f"{name}.yaml").read_text(encoding="utf-8")}
