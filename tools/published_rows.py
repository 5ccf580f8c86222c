"""The content of the generated tables about the published rows and recipe sets, from recipes and costs."""

from pathlib import Path
from typing import Any

from bandwise.config import to_dict
from bandwise.launch.plan import Setting, make_plan
from bandwise.recipes.catalog import all_recipes
from bandwise.recipes.datasets import facts_of
from bandwise.recipes.recipe import Recipe
from bandwise.recipes.sets import RECIPE_SETS
from tools.blocks import read_results
from tools.published import SeedRow
from tools.sets import SetColumn

EXAMPLE_ROW = "resnet34-sub4"
"""The row on which the recipe sets are shown."""

_CROPS = (1, 10)
# The reported sets of ILSVRC 2012, and of fall11 and winter21 with 50 images a class.
_REAL = {
    "imagenet1k": (frozenset({1_000}), frozenset({50_000})),
    "imagenet21k": (frozenset({10_450, 11_221}), frozenset({522_500, 561_050})),
}


def seed_rows() -> list[SeedRow]:
    """Return the rows of the published tables, each followed in its data set by the lean designs."""
    return [_row(recipe) for recipe in all_recipes().values() if recipe.config.data.source in _REAL]


def set_columns() -> list[SetColumn]:
    """Return every recipe set, applied to the example row."""
    config = all_recipes()[EXAMPLE_ROW].config
    return [
        SetColumn(item.name, to_dict(item.apply(config)), item.sources, item.notes_for(config))
        for item in RECIPE_SETS.values()
    ]


def recorded(folder: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Return the results of a folder; without one, those of `results/` where there are any."""
    if folder is not None:
        return read_results(folder, _CROPS)
    default = Path("results")
    return read_results(default, _CROPS) if any(default.glob("*.json")) else {}


def _row(recipe: Recipe) -> SeedRow:
    facts = facts_of(recipe.config.data)
    assert facts is not None
    setting = Setting(
        classes=facts.classes,
        channels=facts.channels,
        images=facts.images,
        train_images=facts.train_images,
        gpu_memory_gb=40.0,
    )
    plan = make_plan(recipe.config, setting).facts
    seed, (classes, reported) = recipe.published, _REAL[recipe.config.data.source]
    buffers = recipe.config.network.model == "resnet50" if seed is None else seed.counts_buffers
    return SeedRow(
        name=recipe.name,
        dataset=recipe.config.data.data,
        accuracy=None if seed is None else seed.accuracy,
        target=None if seed is None else seed.target,
        crops=None if seed is None else seed.crops,
        references=() if seed is None else tuple(f"{item.accuracy:.2f} % {item.source}" for item in seed.references),
        size="" if seed is None else seed.size,
        training_time="" if seed is None else seed.training_time,
        evidence="" if seed is None else seed.evidence,
        unconfirmed=recipe.unconfirmed,
        parameters=plan["parameters"],
        mib=plan["mib_with_buffers" if buffers else "mib_parameters"],
        gmacs=plan["gmacs"],
        gmacs_all=plan["gmacs_all"],
        activation_bytes=plan["activation_bytes_per_image"],
        activation_bytes_all=plan["activation_bytes_per_image_all"],
        bytes_per_node=plan["bytes_per_node"],
        classes=classes,
        reported_images=reported,
    )
