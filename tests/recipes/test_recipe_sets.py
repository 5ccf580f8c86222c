"""Recipe sets against the published values, and how they meet rows and flags."""

from dataclasses import replace

import pytest

from bandwise import cli
from bandwise.commands.verb import base_config
from bandwise.config import to_dict
from bandwise.config.configfile import config_from_dict
from bandwise.errors import UsageError
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.recipes.sets import RECIPE_SETS, find_set

RECIPES = all_recipes()
# Wightman et al. 2021; mmpretrain's three configurations; torchvision's command for ResNet-50.
PUBLISHED = {
    "rsb-a1": {"epochs": 600, "batch_size": 2048, "opt": "lamb", "lr": 5e-3, "weight_decay": 0.01, "smoothing": 0.1},
    "rsb-a2": {"epochs": 300, "batch_size": 2048, "opt": "lamb", "lr": 5e-3, "weight_decay": 0.02, "smoothing": 0.0},
    "rsb-a3": {"epochs": 100, "batch_size": 2048, "opt": "lamb", "lr": 8e-3, "weight_decay": 0.02, "train_crop": 160},
    "torchvision": {"epochs": 600, "batch_size": 1024, "lr": 0.5, "weight_decay": 2e-5, "train_crop": 176},
}
AUGMENT = {
    "rsb-a1": {"mixup": 0.2, "cutmix": 1.0, "aug_repeats": 3, "aa": "rand-m7-mstd0.5-inc1"},
    "rsb-a2": {"mixup": 0.1, "cutmix": 1.0, "aug_repeats": 3, "aa": "rand-m7-mstd0.5-inc1"},
    "rsb-a3": {"mixup": 0.1, "cutmix": 1.0, "aug_repeats": 0, "aa": "rand-m6-mstd0.5-inc1"},
    "torchvision": {"mixup": 0.2, "cutmix": 1.0, "aug_repeats": 4, "aa": "trivialaugment", "reprob": 0.1},
}


def applied(name: str, row: str):
    return find_set(name).apply(find_recipe(row).config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name):
    config = applied(name, "resnet50-sub4")
    training, augment = to_dict(config.training), to_dict(config.augment)
    assert {key: training[key] for key in PUBLISHED[name]} == PUBLISHED[name]
    assert {key: augment[key] for key in AUGMENT[name]} == AUGMENT[name]
    assert training["warmup_epochs"] == 5
    assert training["sched"] == "cosine"
    assert augment["at"] == "image"
    assert training["bce_loss"] == name.startswith("rsb")
    assert training["model_ema"] == (name == "torchvision")
    assert config.network.drop_path == (0.05 if name in ("rsb-a1", "rsb-a2") else 0.0)


def test_the_decay_of_torchvisions_average():
    # train.py: 1 - min(1, (1 - decay) * world * batch * steps / epochs), 8 GPUs of 128 images.
    decay = 1 - min(1.0, (1 - 0.99998) * 8 * 128 * 32 / 600)
    assert applied("torchvision", "resnet50").training.model_ema_decay == pytest.approx(decay, abs=1e-7)


@pytest.mark.parametrize("name", RECIPE_SETS)
def test_every_set_fits_every_recipe(name):
    for recipe in RECIPES.values():
        before = recipe.config
        after = find_set(name).apply(before)
        assert after.split == before.split
        assert (after.branches, after.data) == (before.branches, before.data)
        assert replace(after.network, drop_path=0.0) == replace(before.network, drop_path=0.0)
        assert config_from_dict(to_dict(after)) == after
        assert find_set(name).apply(after) == after, "a set on itself changes nothing"


@pytest.mark.parametrize(
    ("row", "a3", "new"),
    [("resnet34", 160, 176), ("resnet34-sub16", 160, 176), ("in21k-resnet34-sub36", 240, 264)],
)
def test_training_crops_scale_with_the_crop_of_the_row(row, a3, new):
    assert applied("rsb-a3", row).training.train_crop == a3
    assert applied("torchvision", row).training.train_crop == new
    assert applied("rsb-a1", row).training.train_crop == 0


@pytest.mark.parametrize("row", ["alexnet", "vgg16-sub4", "mnist-fc8-sub4"])
def test_fixed_inputs_train_at_their_crop_and_say_so(row):
    config = applied("rsb-a3", row)
    assert config.training.train_crop == 0
    assert any("trains at its crop" in note for note in find_set("rsb-a3").notes_for(config))
    assert applied("rsb-a1", row).network.drop_path == 0.0
    assert any("no residual blocks" in note for note in find_set("rsb-a1").notes_for(config))


def test_a_resnet_has_no_such_notes():
    notes = " ".join(find_set("rsb-a1").notes_for(find_recipe("resnet50").config))
    assert "0.95" in notes
    assert "residual" not in notes


def test_the_seed_set_is_the_recipe_of_the_rows():
    for name in ("alexnet-sub16", "in21k-resnet50-sub36-lean"):
        assert applied("seed", name) == find_recipe(name).config
    assert applied("seed", "photos-sub4").name == "photos-sub4-seed"


def test_nothing_of_the_former_recipe_is_left():
    assert find_recipe("photos-sub4").config.training.smoothing == 0.1
    assert applied("rsb-a3", "photos-sub4").training.smoothing == 0.0


@pytest.mark.parametrize("spelling", ["--recipe-set=rsb-a3", "--recipe_set=rsb-a3"])
def test_flags_and_files_after_the_set_override_it(tmp_path, spelling):
    from bandwise.commands.train import main

    file = tmp_path / "own.yaml"
    file.write_text("training: {epochs: 7}\n", encoding="utf-8")
    flags = [spelling, "--config", str(file), "--lr", "0.1", "--out", str(tmp_path / "run"), "--dry-run"]
    training = main(["resnet34-sub4", *flags]).result["config"]["training"]
    assert (training["epochs"], training["lr"], training["opt"]) == (7, 0.1, "lamb")


def test_an_unknown_set_suggests_the_nearest():
    with pytest.raises(UsageError, match="no recipe set 'rsb-a4'; did you mean rsb-a"):
        base_config("alexnet", ["--recipe-set", "rsb-a4"])


def test_recipes_shows_the_resolved_configuration(capsys):
    assert cli.main(["recipes", "alexnet", "--recipe-set", "rsb-a3"]) == 0
    text = capsys.readouterr().out
    assert "opt: lamb" in text
    assert "--recipe-set rsb-a3" in text
    assert "published 63" not in text, "the published figure is of the row's own recipe"
    assert cli.main(["recipes", "--recipe-set", "rsb-a3"]) == 2
