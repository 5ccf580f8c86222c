"""All recipes by name."""

import difflib

from bandwise.errors import UsageError
from bandwise.recipes import cifar10, cifar10_large, cifar10_starts, imagenet1k, imagenet21k, mnist, photos
from bandwise.recipes.measured import with_figures
from bandwise.recipes.recipe import Recipe

_MODULES = (photos, cifar10, cifar10_starts, cifar10_large, mnist, imagenet1k, imagenet21k)


def all_recipes() -> dict[str, Recipe]:
    """Return every recipe, in the order of the modules."""
    built = with_figures(build() for module in _MODULES for build in module.RECIPES)
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
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    else:
        nearest = difflib.get_close_matches(name, recipes, n=1, cutoff=0)
        hint = f"the nearest of {len(recipes)} is {nearest[0]}; `bandwise recipes` lists them"
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
