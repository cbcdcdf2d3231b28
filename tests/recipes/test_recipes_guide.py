"""Every recipe that the guide shows is carried out, on tiny models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from project import REPOSITORY
from recipes_helpers import Zoo, load_whole, longer
from safetensors.torch import save_file

from compute.recipes import document, run

GUIDE = REPOSITORY / "docs" / "guide" / "merge.md"
RECIPES = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def place(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the models that the guide names."""
    longer(zoo, "longer-vocabulary", "sq")
    zoo.variant("full-base", "de")
    root = zoo.root.parent
    zoo.root.rename(root / "models")
    (root / "fisher").mkdir()
    for name in ("de", "sq"):
        squares = {key: tensor.square() for key, tensor in Zoo(root / "models").state(name).items()}
        save_file(squares, root / "fisher" / f"{name}.safetensors")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda text: text.splitlines()[0])
def test_a_recipe_of_the_guide(place: Path, recipe: str) -> None:
    (place / "recipe.yaml").write_text(recipe, encoding="utf-8")
    read = document.read(place / "recipe.yaml")
    folders = run.run(read, place / "merged", cache=place / "cache", threads=1)
    assert len(folders) == len(yaml.safe_load(recipe).get("merges", [""]))
    for folder in folders:
        load_whole(folder)


def test_the_guide_shows_recipes_and_names_real_keys() -> None:
    keys = {key for recipe in RECIPES for key in yaml.safe_load(recipe)}
    assert keys >= {*document.WHOLE, *document.EACH} - {"shard_size", "seed"}
