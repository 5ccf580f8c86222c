"""All recipes by name.

A new recipe goes into the table of its data set: `photos.py`, `imagewoof.py`, `cifar10.py`, `mnist.py`, or
`published.yaml` for a row of ImageNet.
"""

import difflib
import functools
import importlib.resources
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from bandwise.errors import UsageError
from bandwise.recipes.recipe import Recipe

_TABLES = {
    "photos-": "photos",
    "imagewoof-": "imagewoof",
    "cifar10-": "cifar10",
    "mnist-": "mnist",
    "fashion-mnist-": "mnist",
    "": "imagenet",
}
"""How names begin, and the module that holds the recipes; the published rows of ImageNet begin in any way."""


def all_recipes() -> dict[str, Recipe]:
    """Return every recipe, in the order of the tables."""
    return {name: _built(build) for table in dict.fromkeys(_TABLES.values()) for name, build in _table(table).items()}


def find_recipe(name: str) -> Recipe:
    """Return one recipe; only the table that it belongs to is read.

    Raises:
        UsageError: there is none of that name; the nearest is suggested.
    """
    recipes = _table(next(table for beginning, table in _TABLES.items() if name.startswith(beginning)))
    if name in recipes:
        return _built(recipes[name])
    names = list(all_recipes())
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    else:
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0)
        hint = f"the nearest of {len(names)} is {nearest[0]}; `bandwise recipes` lists them"
    raise UsageError(f"there is no recipe {name!r}; {hint}")


def full_image_of(recipe: Recipe) -> Recipe | None:
    """Return the row of the same family with one network on the whole image; None where there is none.

    The published rows name theirs. Of the others it is the recipe on the same data with the same network and one
    branch at stride 1.
    """
    if recipe.full_image:
        return find_recipe(recipe.full_image)
    wanted = (recipe.config.data.data, recipe.config.network.model)
    for other in all_recipes().values():
        config = other.config
        same = (config.data.data, config.network.model) == wanted
        if same and config.split.stride == 1 and len(config.groups()) == 1:
            return other
    return None


def _table(module: str) -> dict[str, Callable[[], Recipe]]:
    # Imported when it is asked for: a run of one recipe does not build those of other data sets.
    return import_module(f"bandwise.recipes.{module}").RECIPES


def _built(build: Callable[[], Recipe]) -> Recipe:
    """Build a recipe, with the figures of its recorded results, from the file that `make tables` writes of them."""
    recipe = build()
    return replace(recipe, **_shipped("measured.json").get(recipe.name, {}))


def compared_divisions() -> list[dict[str, Any]]:
    """Return the recorded comparisons of two divisions of the work, from the file that `make tables` writes of them."""
    return _shipped("compared.json")


@functools.cache
def _shipped(name: str) -> Any:
    return json.loads(importlib.resources.files("bandwise.recipes").joinpath(name).read_text(encoding="utf-8"))
