"""What recipes cost and reached, from `measured.json`, which `make tables` writes from the recorded results."""

import functools
import importlib.resources
import json
from collections.abc import Iterable
from dataclasses import replace

from bandwise.recipes.recipe import Recipe

_FILE = "measured.json"


def with_figures(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Return the recipes, those with a recorded result with its figures in place of "not measured"."""
    figures = _figures()
    return [replace(recipe, **figures.get(recipe.name, {})) for recipe in recipes]


@functools.cache
def _figures() -> dict[str, dict[str, str]]:
    """`cost` and `expected` by recipe."""
    return json.loads(importlib.resources.files("bandwise.recipes").joinpath(_FILE).read_text(encoding="utf-8"))
