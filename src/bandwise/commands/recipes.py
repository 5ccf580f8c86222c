"""`bandwise recipes [NAME]`: what can be run, at what cost, with what result."""

import dataclasses
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse
from bandwise.config import to_dict
from bandwise.config.configfile import config_text
from bandwise.errors import UsageError
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.recipes.recipe import NOT_MEASURED, PublishedFigures, Recipe, facts_of
from bandwise.recipes.sets import RECIPE_SETS, find_set


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the recipes, or show one whole."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """The recipe to show; all when left out."""
    recipe_set: str = ""
    """With a NAME: show it trained by a published recipe: seed, rsb-a1, rsb-a2, rsb-a3 or torchvision."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "recipes")
    if arguments.recipe_set and not arguments.name:
        raise UsageError(f"--recipe-set {arguments.recipe_set} needs the name of a recipe to show")
    if not arguments.name and not arguments.json:
        # Without counts: the list does not wait for torch.
        return Outcome({}, _list())
    recipes = [find_recipe(arguments.name)] if arguments.name else list(all_recipes().values())
    notes: tuple[str, ...] = ()
    if arguments.recipe_set:
        chosen = find_set(arguments.recipe_set)
        notes = chosen.notes_for(recipes[0].config)
        config = chosen.apply(recipes[0].config)
        if config != recipes[0].config:
            # What is known of the row as it is says nothing about it trained in another way.
            unknown = {"cost": NOT_MEASURED, "expected": NOT_MEASURED, "published": None, "unconfirmed": ()}
            recipes = [dataclasses.replace(recipes[0], config=config, **unknown)]
    entries = [_entry(recipe) for recipe in recipes]
    result: dict[str, Any] = {"recipes": entries}
    if arguments.recipe_set:
        entries[0]["command"] = f"{find_recipe(arguments.name).command} --recipe-set {arguments.recipe_set}"
        result |= {"recipe_set": arguments.recipe_set, "notes": list(notes)}
    return Outcome(result, _one(recipes[0], entries[0], notes))


def _list() -> str:
    recipes = all_recipes()
    width = max(map(len, (*recipes, *RECIPE_SETS)))
    lines = [f"{recipe.name:<{width}}  {recipe.summary}{_brief(recipe)}" for recipe in recipes.values()]
    sets = [f"{item.name:<{width}}  {item.summary}" for item in RECIPE_SETS.values()]
    return "\n".join([*lines, "", "recipe sets, for any of them (--recipe-set NAME):", *sets])


def _brief(recipe: Recipe) -> str:
    """Return the accuracy alone; seeds and images are shown with the recipe itself."""
    return "" if recipe.expected == NOT_MEASURED else f" [{re.split(r',| [(]', recipe.expected)[0]}]"


def _one(recipe: Recipe, entry: dict[str, Any], notes: Sequence[str]) -> str:
    one, every = entry["cost_per_branch"], entry["cost_total"]
    published = [] if recipe.published is None else [f"  published {_published(recipe.published)}"]
    settings = config_text({key: value for key, value in entry["config"].items() if key != "name"})
    return "\n".join(
        [
            f"{recipe.name}: {recipe.summary}",
            f"  command   {entry['command']}",
            f"  branches  {len(entry['bands'])} of {entry['input_px']} px",
            f"  size      {entry['parameters']:,} parameters, {entry['buffers']:,} buffers a branch: "
            f"{entry['mib_parameters']:.2f} MiB, {entry['mib_with_buffers']:.2f} MiB with buffers",
            f"  cost      {recipe.cost}; {one['gmacs']:.3g} GMACs a branch, {every['gmacs']:.3g} in all",
            f"  expected  {recipe.expected}",
            *published,
            *(f"  unconfirmed: {sentence}" for sentence in recipe.unconfirmed),
            *(f"  note: {note}" for note in notes),
            "  settings, as a file for `bandwise run FILE.yaml`:",
            textwrap.indent(settings.rstrip(), "    "),
        ]
    )


def _published(row: PublishedFigures) -> str:
    parts = [f"{row.accuracy} %" if row.accuracy is not None else "no accuracy"]
    if row.target is not None:
        parts.append(f"target {row.target} %")
    crops = {1: "one crop", 10: "ten crops", None: "crops not said"}[row.crops]
    parts += [crops, row.size, row.training_time or "no time"]
    return ", ".join(parts)


def _entry(recipe: Recipe) -> dict[str, Any]:
    # Here, so that the list without counts starts in a fraction of a second.
    from bandwise.launch.cost import branch_cost

    config = recipe.config
    facts = facts_of(config.data)
    assert facts is not None, recipe.name
    size = {"channels": facts.channels, "num_classes": facts.classes}
    costs = [branch_cost(config, branch, **size) for branch in range(len(config.groups()))]
    largest = max(costs, key=lambda cost: cost.params)
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "dataset": config.data.data,
        "classes": facts.classes,
        "input_px": config.training.crop // config.split.stride,
        "bands": [list(group) for group in config.groups()],
        "model": config.network.model,
        "stem": config.network.stem,
        "parameters": largest.params,
        "buffers": largest.buffers,
        "mib_parameters": largest.mib_parameters,
        "mib_with_buffers": largest.mib_with_buffers,
        "seed": None if recipe.published is None else dataclasses.asdict(recipe.published),
        "unconfirmed": list(recipe.unconfirmed),
        "command": recipe.command,
        "cost": recipe.cost,
        "cost_per_branch": {"parameters": largest.params, "gmacs": max(cost.macs for cost in costs) / 1e9},
        "cost_total": {
            "parameters": sum(cost.params for cost in costs),
            "gmacs": sum(cost.macs for cost in costs) / 1e9,
        },
        "expected": recipe.expected,
        "config": to_dict(config),
    }
