"""The rows of the published tables: the list, every size, the recipe, and what is said of the figures."""

import json
import math

import pytest

from bandwise import cli
from bandwise.errors import UsageError
from bandwise.recipes.catalog import all_recipes, find_recipe, full_image_of

# input px, branches, stem, parameters, published MiB, whether buffers are in it
ROWS = {
    "alexnet": (224, 1, "stock", 61_100_840, None, False),
    "alexnet-sub4": (112, 4, "stock", 16_000_296, 61.04, False),
    "alexnet-sub16": (56, 16, "stock", 9_891_176, 37.73, False),
    "vgg16": (224, 1, "stock", 138_357_544, 527.79, False),
    "vgg16-sub4": (112, 4, "stock", 54_479_912, 207.82, False),
    "vgg16-sub16": (56, 16, "stock", 33_567_528, 128.05, False),
    "resnet34": (224, 1, "stock", 21_797_672, 83.15, False),
    "resnet34-sub4": (112, 4, "dense", 21_797_672, 83.15, False),
    "resnet34-sub16": (56, 16, "dense", 21_789_992, None, False),
    "resnet34-sub36": (56, 36, "dense", 21_789_992, None, False),
    "resnet50": (224, 1, "stock", 25_557_032, 97.69, True),
    "resnet50-sub4": (112, 4, "dense", 25_557_032, 97.69, True),
    "resnet50-sub16": (56, 16, "dense", 25_549_352, None, True),
    "in21k-resnet34": (224, 1, "stock", 26_645_522, None, False),
    "in21k-resnet34-sub36": (56, 36, "dense", 26_637_842, None, False),
    "in21k-resnet50": (224, 1, "stock", 44_920_082, 171.56, True),
    "in21k-resnet50-sub36": (56, 36, "dense", 44_912_402, None, True),
}
LEAN = {
    "resnet34-sub4-lean": (112, 4, "stock", 21_797_672, 83.15, False),
    "resnet34-sub16-lean": (56, 16, "stock", 21_797_672, 83.15, False),
    "resnet34-sub36-lean": (56, 36, "stock", 21_797_672, 83.15, False),
    "resnet50-sub4-lean": (112, 4, "stock", 25_557_032, 97.69, True),
    "resnet50-sub16-lean": (56, 16, "stock", 25_557_032, 97.69, True),
    "in21k-resnet34-sub36-lean": (56, 36, "stock", 26_645_522, None, False),
    "in21k-resnet50-sub36-lean": (56, 36, "stock", 44_920_082, 171.56, True),
}
IMAGENET = {name: item for name, item in all_recipes().items() if item.config.data.source.startswith("imagenet")}


def out_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(list(argv)) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def listed():
    from bandwise.commands.recipes import main

    return {entry["name"]: entry for entry in main(["--json"]).result["recipes"]}


def test_there_are_17_rows_and_7_lean_ones():
    assert len(ROWS) == 17
    assert len(LEAN) == 7
    assert set(IMAGENET) == set(ROWS | LEAN)


def test_the_listing_has_every_recipe_with_its_networks(listed):
    assert set(listed) == set(all_recipes())
    json.dumps(listed, allow_nan=False)
    for entry in listed.values():
        assert entry["cost_per_branch"]["parameters"] > 5_000
        assert entry["cost_per_branch"]["gmacs"] > 5e-6


@pytest.mark.parametrize("name", ROWS | LEAN)
def test_the_listing_has_the_published_size(listed, name):
    side, branches, stem, parameters, mib, buffers = (ROWS | LEAN)[name]
    entry = listed[name]
    assert entry["input_px"] == side
    assert len(entry["bands"]) == branches
    assert entry["stem"] == stem
    assert entry["parameters"] == parameters
    assert entry["cost_total"]["parameters"] == branches * parameters
    assert entry["cost_total"]["gmacs"] == pytest.approx(branches * entry["cost_per_branch"]["gmacs"])
    if mib is not None:
        ours = entry["mib_with_buffers" if buffers else "mib_parameters"]
        # Some published sizes are rounded, some are cut off.
        assert mib in (round(ours, 2), math.floor(100 * ours) / 100)


def test_buffers_of_resnet50(listed):
    # 53 batch normalisations with a mean, a variance and a counter of 8 bytes.
    entry = listed["resnet50"]
    assert entry["buffers"] == 53_120 + 53
    assert entry["mib_with_buffers"] == (4 * (25_557_032 + 53_120) + 8 * 53) / 2**20
    assert math.floor(100 * entry["mib_with_buffers"]) / 100 == 97.69


@pytest.mark.parametrize("name", ROWS | LEAN)
def test_seed_figures(listed, name):
    seed = listed[name]["seed"]
    assert (seed is None) == (name in LEAN)
    assert listed[name]["unconfirmed"]
    if seed is not None:
        accuracies = {
            "alexnet": 63.44, "alexnet-sub4": 63.43, "alexnet-sub16": 62.18, "vgg16": 73.21, "vgg16-sub4": 72.82,
            "vgg16-sub16": 64.24, "resnet34": 73.51, "resnet34-sub4": 78.29, "resnet34-sub16": 74.13,
            "resnet34-sub36": 69.83, "resnet50": 77.99, "resnet50-sub4": 77.84, "in21k-resnet34": 40.45,
            "in21k-resnet34-sub36": 38.12, "in21k-resnet50-sub36": 38.80,
        }  # fmt: skip
        assert seed["accuracy"] == accuracies.get(name)
        assert seed["crops"] == (10 if name == "resnet50" else seed["crops"])


@pytest.mark.parametrize("name", ROWS | LEAN)
def test_the_published_recipe(name):
    config = IMAGENET[name].config
    training = config.training
    thirty_six = name.removesuffix("-lean").endswith("sub36")
    assert (config.split.canvas, training.crop) == ((384, 336) if thirty_six else (256, 224))
    assert config.split.transform == ("identity" if config.split.stride == 1 else "dct1d")
    assert (training.opt, training.momentum, training.weight_decay, training.epochs) == ("momentum", 0.9, 1e-4, 100)
    if name.startswith("in21k"):
        assert (training.batch_size, training.lr, training.sched) == (512, 0.001, "step")
        assert (training.decay_epochs, training.decay_rate) == (30, 0.1)
    else:
        assert (training.batch_size, training.lr, training.sched) == (256, 0.01, "cosine")
        assert training.min_lr == 1e-4
    assert config.augment.at == "image"


@pytest.mark.parametrize("name", LEAN)
def test_a_lean_row_differs_in_the_stem_only(name):
    from dataclasses import replace

    lean, row = IMAGENET[name].config, IMAGENET[name.removesuffix("-lean")].config
    assert replace(lean, name=row.name, network=replace(lean.network, stem="dense")) == row


def test_the_whole_image_row_of_a_family():
    def whole(name):
        found = full_image_of(find_recipe(name))
        return None if found is None else found.name

    assert whole("vgg16-sub16") == "vgg16"
    assert whole("in21k-resnet50-sub36-lean") == "in21k-resnet50"
    assert whole("photos-sub4") == "photos-baseline"
    assert whole("mnist-fc8-sub4") == "mnist-fc8"


def test_a_name_like_nothing_still_gets_the_nearest():
    with pytest.raises(UsageError, match=r"there is no recipe 'nope'; the nearest of .* lists them"):
        find_recipe("nope")


def test_one_recipe_shows_what_is_not_confirmed(capsys):
    text = out_of(capsys, "recipes", "resnet50-sub4")
    assert "published 77.84 %, one crop, 97.69 MB x 4, 62.6 h" in text
    assert "unconfirmed: Three of the four branches were fused (0, 1, 3; p = 0.8)" in text
    assert "25,557,032 parameters" in text


def test_the_text_listing_starts_without_torch():
    import subprocess
    import sys

    code = (
        "import sys; from bandwise.cli import main; code = main(['recipes']); "
        "sys.exit(code or ('torch' in sys.modules and 9))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resnet34-sub4-lean" in done.stdout


def test_a_recipe_is_found_without_the_tables_of_other_data():
    import subprocess
    import sys

    code = (
        "import sys; from bandwise.recipes.catalog import find_recipe; find_recipe('photos-sub4'); "
        "print(*(name for name in sys.modules if name.startswith('bandwise.recipes.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tables = {name.rpartition(".")[2] for name in done.stdout.split()} & {"photos", "cifar10", "mnist", "imagenet"}
    assert tables == {"photos"}


def test_without_data_it_says_what_to_give(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "resnet34-sub4", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "ILSVRC2012_img_train.tar" in said
    assert "give that folder with --data" in said
    assert cli.main(["split", "in21k-resnet34", "--out", str(tmp_path / "store")]) == 2
    assert "winter21_whole.tar" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
