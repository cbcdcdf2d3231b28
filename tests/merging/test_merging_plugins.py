"""Plug-in files of the mathematics: one file, one public function of the file's own name."""

from __future__ import annotations

import importlib
import inspect

import pytest

from compute import plugins

PACKAGES = ("compute.merging.methods", "compute.merging.coefficients", "compute.similarity.selection")
FILES = [(package, name) for package in PACKAGES for name in plugins.names(package)]


def signature(package: str, name: str) -> list[tuple[str, object]]:
    parameters = inspect.signature(plugins.load(package, name)).parameters.values()
    return [(parameter.name, parameter.kind) for parameter in parameters]


def test_every_package_has_plug_ins() -> None:
    assert {package for package, _ in FILES} == set(PACKAGES)


@pytest.mark.parametrize(("package", "name"), FILES)
def test_a_file_holds_one_public_function_of_its_own_name(package: str, name: str) -> None:
    module = importlib.import_module(f"{package}.{name}")
    defined = [
        found
        for found, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not found.startswith("_")
    ]
    assert defined == [name]
    assert inspect.isfunction(vars(module)[name])


@pytest.mark.parametrize(("package", "name"), FILES)
def test_a_file_and_its_function_are_documented(package: str, name: str) -> None:
    assert importlib.import_module(f"{package}.{name}").__doc__
    assert plugins.load(package, name).__doc__


@pytest.mark.parametrize("package", ["compute.merging.coefficients", "compute.similarity.selection"])
def test_rules_of_one_kind_are_called_alike(package: str) -> None:
    assert len({tuple(signature(package, name)) for name in plugins.names(package)}) == 1


@pytest.mark.parametrize("name", plugins.names("compute.merging.methods"))
def test_a_merge_method_takes_vectors_and_coefficients_and_then_options_by_name(name: str) -> None:
    (first, _), (second, _), *options = signature("compute.merging.methods", name)
    assert (first, second) == ("vectors", "coefficients")
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, kind in options)
