"""`bandwise recipes [NAME]`: what can be run, at what cost, with what result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import parse
from bandwise.config import to_dict
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the recipes, or show one whole."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """The recipe to show; all when left out."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """List the recipes."""
    arguments = parse(Arguments, argv, "recipes")
    recipes = [find_recipe(arguments.name)] if arguments.name else list(all_recipes().values())
    result = {"recipes": [_entry(recipe) for recipe in recipes]}
    if arguments.name:
        recipe = recipes[0]
        text = "\n".join(
            [
                f"{recipe.name}: {recipe.summary}",
                f"  command   {recipe.command}",
                f"  cost      {recipe.cost}",
                f"  expected  {recipe.expected}",
                *(f"  {key}: {value}" for key, value in to_dict(recipe.config).items() if key != "name"),
            ]
        )
    else:
        width = max(len(recipe.name) for recipe in recipes)
        text = "\n".join(f"{recipe.name:<{width}}  {recipe.summary}" for recipe in recipes)
    return Outcome(result, text)


def _entry(recipe: Recipe) -> dict[str, object]:
    config = recipe.config
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "dataset": config.data.data,
        "input_px": config.training.crop // config.split.stride,
        "bands": [list(group) for group in config.groups()],
        "model": config.network.model,
        "stem": config.network.stem,
        "command": recipe.command,
        "cost": recipe.cost,
        "expected": recipe.expected,
        "config": to_dict(config),
    }
