"""Every recipe is built, counted, and can be expressed as data."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.standardise import BandStandardiser
from bandwise.config import to_dict
from bandwise.config.configfile import config_from_dict, differences
from bandwise.errors import UsageError
from bandwise.files.documents import read_document
from bandwise.launch.cost import SAME_COST, figures
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.recipes.recipe import DATASETS

RECIPES = all_recipes()
CHANNELS = {name: facts.channels for name, facts in DATASETS.items()}
AT_BAND = [name for name, recipe in RECIPES.items() if recipe.config.augment.at == "band"]


def test_the_number_of_recipes_is_known():
    assert len(RECIPES) == 135


def test_a_recipe_survives_json():
    for name, recipe in RECIPES.items():
        assert recipe.config.name == name
        assert config_from_dict(json.loads(json.dumps(to_dict(recipe.config)))) == recipe.config


@pytest.mark.parametrize("name", AT_BAND)
def test_the_augmentation_of_a_recipe_is_exact(name):
    """A flip that is not exact would be refused when training starts; here it is found without data."""
    import numpy as np

    from bandwise.bands.transform import SubbandTransform

    config = RECIPES[name].config
    channels = CHANNELS[config.data.data]
    assert config.augment.inexact_flip == name.endswith("-inexact")
    for bands in config.groups():
        shape = (len(bands), channels)
        transform = SubbandTransform(config.split.stride, config.split.transform)
        cutter = BandCutter(
            BandStandardiser(transform, bands, np.zeros(shape), np.ones(shape)),
            side=config.split.canvas // config.split.stride,
            crop_side=config.training.crop // config.split.stride,
            inexact_flip=config.augment.inexact_flip,
        )
        BandAugment(config.augment, cutter, seed=0)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith("-long")])
def test_a_long_recipe_differs_only_in_its_epochs(name):
    short, long = (to_dict(RECIPES[each].config) for each in (name.removesuffix("-long"), name))
    assert {line.partition(":")[0] for line in differences(short, long)} == {"name", "training.epochs"}


@pytest.mark.parametrize("row", ["photos", "cifar10", "mnist", "fashion-mnist"])
def test_a_baseline_differs_from_its_row_only_in_the_split(row):
    """Same network, same recipe: that is what makes the comparison fair."""
    spectral, baseline = to_dict(RECIPES[f"{row}-sub4"].config), to_dict(RECIPES[f"{row}-baseline"].config)
    differing = {key for key in spectral if spectral[key] != baseline[key]}
    assert differing == {"name", "split"}
    assert {key for key in spectral["split"] if spectral["split"][key] != baseline["split"][key]} == {
        "stride",
        "transform",
    }


def test_whole_images_of_imagewoof_differ_from_their_bands_only_in_the_split():
    spectral, whole = to_dict(RECIPES["imagewoof-sub4"].config), to_dict(RECIPES["imagewoof-whole"].config)
    changed = {line.partition(":")[0] for line in differences(spectral, whole)}
    assert changed == {"name", "split.stride", "split.transform"}


EQUAL_COST = {
    "macs_per_node": ("whole4 joint4-seeds lowres4 context4 sub4", "whole-slim sub4-lean"),
    "macs_all": (
        "whole joint4 sub4-lean",
        "whole4 joint4-seeds lowres4 context4 sub4 sub4-noflip sub4-dct1d polyphase4 random4",
        "sub4 lowres4 context4 whole-long sub4-lean-long",
    ),
    "pixels_per_node": ("lowres4 sub4 sub4-lean", "whole whole4 whole-slim joint4"),
}


@pytest.mark.parametrize("what", EQUAL_COST)
def test_the_systems_of_imagewoof_that_are_compared_cost_about_the_same(what):
    for rows in EQUAL_COST[what]:
        configs = [RECIPES[f"imagewoof-{row}"].config for row in rows.split()]
        found = [figures(config, channels=3, num_classes=10)[what] for config in configs]
        assert max(found) < SAME_COST * min(found)


LARGE = [name for name in RECIPES if re.search("^(cifar10|imagewoof)-resnet", name)]


@pytest.mark.parametrize("name", LARGE)
def test_a_large_recipe_differs_from_its_small_one_only_in_network_length_and_precision(name):
    small = RECIPES[re.sub("-resnet(18|34)-", "-", name)]
    changed = {line.partition(":")[0] for line in differences(to_dict(small.config), to_dict(RECIPES[name].config))}
    assert changed == {
        "name",
        "network.model",
        "training.epochs",
        "training.warmup_epochs",
        "training.precision",
    }


def test_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean photos-sub4"):
        find_recipe("photo-sub4")


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["photos-sub4"].config.name = "other"  # type: ignore[misc]


HERE = {"imagewoof-180"}
"""Folders that stood for the named set of a recipe; the tables say how their pictures were made."""
RECORDED = sorted((Path(__file__).parents[2] / "results").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_result_is_of_the_recipe_as_it_is_now(path):
    """Figures are shown by the name of a recipe; a recipe that changes must be run again.

    How many processes decode changes no figure.
    """
    recorded = config_from_dict(read_document(path)["config"])
    now = RECIPES[recorded.name].config
    free = {key: getattr(recorded.training, key) for key in ("seed", "loader_workers")}
    now = dataclasses.replace(now, training=dataclasses.replace(now.training, **free))
    if recorded.data.data in HERE:
        now = dataclasses.replace(now, data=dataclasses.replace(now.data, data=recorded.data.data))
    assert differences(to_dict(recorded), to_dict(now)) == []
