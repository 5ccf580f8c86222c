"""All recipes by name."""

import difflib

from bandwise.errors import UsageError
from bandwise.recipes import cifar10, mnist, photos
from bandwise.recipes.recipe import Recipe

_MODULES = (photos, cifar10, mnist)


def all_recipes() -> dict[str, Recipe]:
    """Return every recipe, in the order of the modules."""
    built = [build() for module in _MODULES for build in module.RECIPES]
    recipes = {recipe.name: recipe for recipe in built}
    assert len(recipes) == len(built), "two recipes have the same name"
    return recipes


def find_recipe(name: str) -> Recipe:
    """Return one recipe.

    Raises:
        UsageError: there is none of that name; the nearest is suggested.
    """
    recipes = all_recipes()
    if name in recipes:
        return recipes[name]
    close = difflib.get_close_matches(name, recipes, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known recipes: {', '.join(recipes)}"
    raise UsageError(f"there is no recipe {name!r}; {hint}")
