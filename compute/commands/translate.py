"""The command `translate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compute.commands import options
from compute.errors import UsageError

if TYPE_CHECKING:
    from compute.adapters.collection import Collection
    from compute.adapters.single import Request, Translated


@click.command()
@click.argument("adapter")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--collection", "folder", type=click.Path(path_type=Path), required=True, help="Adapters of both models.")
@click.option("--method", default="pertensor_ridge", show_default=True, help="A translation method.")
@click.option(
    "--space", type=click.Choice(["delta", "factor", "b"]), default="delta", show_default=True, help="What is combined."
)
@click.option("--option", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the method.")
@click.option("--domain", default="", help="The domain of the adapter's task, for methods that look at it.")
@click.option("--seed", default=0, show_default=True, help="For methods that draw at random.")
@options.as_json
def command(
    adapter: str, out: Path, folder: Path, method: str, space: Any, settings: Sequence[str], domain: str, seed: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Translate ADAPTER from model X to model Y, by tasks with adapters on both, into the folder OUT.

    ADAPTER is a folder as PEFT saves it, or org/name@commit, or org/name@commit/subfolder on the hub.
    """
    from compute.adapters import collection, peft_folder, places, single
    from compute.recipes import result

    result.check_free(out)
    _check_outside(out, folder)
    request = single.Request(method, space, _settings(settings), domain, seed)
    opened = collection.opened(folder)
    place = places.place(adapter, Path.cwd())
    try:
        made = single.translated(opened, place, Path(adapter.rstrip("/")).name or adapter, request)
        told = _told(request, opened, made)
        with result.staged(out) as partial:
            peft_folder.write_into(partial, made.adapter, base_model=made.base_model)
            said = json.dumps(_about(told, made.inputs), indent=2, ensure_ascii=False) + "\n"
            (partial / result.RECIPE).write_text(said, encoding="utf-8")
    except KeyboardInterrupt:
        options.stop(f"interrupted: nothing was written to {out}", options.INTERRUPTED)
    _say({"folder": str(out), **told}, as_json)


def _check_outside(out: Path, collection: Path) -> None:
    """Refuse a place among the adapters of a collection: a translated one would pass for one that was trained."""
    if out.resolve().is_relative_to((collection / "adapters").resolve()):
        raise UsageError(f"{out} lies among the adapters of the collection, which were trained: name a folder outside")


def _settings(given: Sequence[str]) -> dict[str, object]:
    """Read options of the method: name=value, values as in YAML."""
    import yaml

    from compute import yaml_file

    found: dict[str, object] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--option {setting!r}: expected name=value, as relative_lambda=0.1")
        if name in found:
            raise UsageError(f"--option {name} comes twice: say it once")
        try:
            found[name] = yaml_file.parse(value)
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(
                f"--option {setting!r}: the value is no YAML: expected a number, a word, true or false"
            ) from error
    return found


def _told(request: Request, opened: Collection, made: Translated) -> dict[str, Any]:
    """Say what was done, for people and programs alike."""
    from compute.adapters.method import bind_options

    told: dict[str, Any] = {
        "method": request.method,
        "space": request.space,
        "options": bind_options(request.method, request.options),
        **({"domain": request.domain} if request.domain else {}),
        "seed": request.seed,
        "base_model": made.base_model,
        **made.found,
    }
    return {**told, **({"left_out": opened.unusable} if opened.unusable else {}), "warnings": made.warnings}


def _about(told: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written beside the adapter: what was done, digests of all that went in, versions.

    No folder of the user is in it: what was left out is named without the places that its reasons tell.
    """
    from compute.engine.privacy import redacted
    from compute.engine.versions import version

    done = {key: value for key, value in told.items() if key not in ("warnings", "left_out")}
    if Path(told["base_model"]).is_absolute():
        done["base_model"] = Path(told["base_model"]).name
    versions = {name: version(name) for name in ("recount", "numpy")}
    return {
        "translation": done,
        "left_out": list(told.get("left_out", {})),
        "warnings": [redacted(line) for line in told["warnings"]],
        "inputs": dict(inputs),
        "versions": versions,
    }


def _say(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        options.write_json(told)
        return
    warnings = told.pop("warnings")
    click.echo(options.yaml(told))
    for line in warnings:
        click.echo(f"warning: {line}", err=True)
