"""Reference pages made from the project itself, so that they cannot rot: modules, plug-ins, commands, locales."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from compute import plugins, study
from compute.adapters import method as translation
from compute.listing import PACKAGES
from compute.locales import LOCALES
from compute.merging.method import PACKAGE, MethodInfo, method_info, method_options
from compute.plugin_options import Option
from compute.report.jinja import environment


def pages(root: Path) -> dict[str, str]:
    """Return the reference pages by file name."""
    made = environment(root)
    return {
        "modules.md": made.get_template("modules.md.j2").render(modules=list(modules())),
        "merge-methods.md": made.get_template("merge_methods.md.j2").render(methods=list(methods())),
        "translation-methods.md": made.get_template("translation_methods.md.j2").render(methods=list(translations())),
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


def methods() -> Iterator[dict[str, str]]:
    """Describe every merge method by what it tells about itself."""
    for name in plugins.names(PACKAGE):
        info, options = method_info(name), method_options(name)
        yield {
            "name": name,
            "title": info.title,
            "scope": "model or tensor" if "trim_scope" in options else info.scope,
            "base": "yes" if info.needs_base else "no",
            "experts": _experts(info),
            "beside": ", ".join(_NEEDS[need] for need in dict.fromkeys((*info.data, *info.extras))),
            "neutral": ", ".join(f"`{option}: {value}`" for option, value in info.neutral.items()),
            "paper": info.paper,
            "paper_name": _place(info.paper),
            "signature": _signature(name, ("vectors", "coefficients"), options),
            "text": _text(PACKAGE, name),
        }


def translations() -> Iterator[dict[str, str]]:
    """Describe every translation method by what it tells about itself."""
    for name in plugins.names(translation.PACKAGE):
        info, options = translation.method_info(name), translation.method_options(name)
        demands = {"the task's own adapter on Y": info.needs_truth, "both base models": info.needs_bases}
        takes = ("problem", "material") if info.gives == "adapter" else ("problem",)
        yield {
            "name": name,
            "title": info.title,
            "role": info.role,
            "gives": {"weights": "weights of the anchors", "adapter": "an adapter"}[info.gives],
            "beside": ", ".join(word for word, needed in demands.items() if needed),
            "source": _linked(info.source),
            "signature": _signature(name, takes, options),
            "text": _text(translation.PACKAGE, name),
        }


def _text(package: str, name: str) -> str:
    return markdown(inspect.getdoc(plugins.load(package, name)) or "")


_NEEDS = {
    "fisher": "Fisher information",
    "grams": "Gram matrices of inputs",
    "entropy": "a network and texts",
    "lots": "lots, by the seed",
}
"""Words for what methods demand of data, or for each entry."""


def _experts(info: MethodInfo) -> str:
    least, most = info.sources
    return f"{least}+" if most is None else f"{least} to {most}" if most > least else str(least)


def _place(paper: str) -> str:
    """Return a short name for an address: arXiv's number, or the host."""
    host, _, rest = paper.partition("://")[2].partition("/")
    return {"arxiv.org": rest.removeprefix("abs/"), "doi.org": "DOI"}.get(host, host)


def _signature(name: str, takes: tuple[str, ...], options: dict[str, Option]) -> str:
    """Write how a method is called with what it *takes*, an option a line."""
    lines = [f"    {option}: {_kind(known.type)} = {known.default!r}," for option, known in options.items()]
    return f"{name}({', '.join(takes)}" + (", *,\n" + "\n".join(lines) + "\n)" if lines else ")")


def _kind(kind: Any) -> str:
    """Write the type of an option: the choices, where there are some."""
    return " | ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else str(kind.__name__)


def markdown(text: str) -> str:
    """Return a docstring as Markdown: addresses are links, and nothing is taken for HTML."""
    parts = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(part if number % 2 else _linked(part) for number, part in enumerate(parts))


def _linked(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"https?://[^\s()]*[^\s().,;:]", lambda found: f"<{found[0]}>", escaped)


def _kinds() -> list[dict[str, Any]]:
    return [
        {"kind": kind, "package": package, "plugins": [_plugin(package, name) for name in plugins.names(package)]}
        for kind, package in PACKAGES.items()
        if package not in (PACKAGE, translation.PACKAGE)
    ]


class _Plain(str):
    """An annotation that is written as it stands in the source."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plugin(package: str, name: str) -> dict[str, Any]:
    function = plugins.load(package, name)
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=_Plain(each.annotation)) for each in signature.parameters.values()]
    written = signature.replace(parameters=parameters, return_annotation=_Plain(signature.return_annotation))
    return {
        "name": name,
        "signature": f"{name}{written}",
        "text": _text(package, name),
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
