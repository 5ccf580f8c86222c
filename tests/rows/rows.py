"""One row of the published tables, from archives of ImageNet's own structure to fused ten-crop results."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sources import imagenet

from bandwise.cli import main
from bandwise.config import parse_bands
from bandwise.recipes.imagenet import RECIPES
from bandwise.recipes.recipe import Recipe
from bandwise.sources.archives import imagenet21k
from bandwise.sources.archives.imagenet21k import open_imagenet21k

ROWS = {name: build() for name, build in RECIPES.items()}

# What `make test-all` runs, and with how many branches: every network with every stem, every input size, every stride.
# The other rows differ from these in the size of their input alone; `make recipes` runs them all.
IN_CI = {
    "alexnet": 1,
    "alexnet-sub4": 3,
    "alexnet-sub16": 3,
    "vgg16": 1,
    "vgg16-sub4": 2,
    "vgg16-sub16": 2,
    "resnet34": 1,
    "resnet34-sub4": 2,
    "resnet34-sub16": 2,
    "resnet34-sub4-lean": 2,
    "resnet50-sub4": 2,
    "in21k-resnet50-sub36-lean": 3,
}

CLASSES, BATCH, BATCHES = 8, 4, 2
REPORTED = 1
FULL_SIDE = 384
"""The canvas of 36 bands: a picture that is enlarged leaves the highest of them empty."""
# One training image a class, which makes two batches, and in one class one more for the holdout: ten crops of many
# images would take longer than all the training.
IMAGES = [1, 1, 1, 1, 1, 2, 1, 1]
FLAGS = ["--batch-size", str(BATCH), "--epochs", "1", "--warmup-epochs", "0", "--holdout", "0.3", "--holdout-min", "0"]
FLAGS += ["--threads", "1", "--device", "cpu", "--loader-workers", "0", "--jobs", "1", "--workers", "1"]

# The published filter wants 500 images a class.
WITHOUT_FILTER = functools.partial(open_imagenet21k, min_images=2, val_images=1)


def parameters(wanted: Callable[[Recipe], bool]) -> list[Any]:
    """Return the rows that a predicate takes, those beyond CI marked for `make recipes`."""
    marks = {name: () if name in IN_CI else (pytest.mark.rows,) for name in ROWS}
    return [pytest.param(name, marks=marks[name]) for name, row in ROWS.items() if wanted(row)]


def some_bands(recipe: Recipe) -> str:
    """Return the first, the middle and the last band, or the first and the last, in the notation of `--bands`."""
    last = recipe.config.split.stride**2 - 1
    chosen = {0, last // 2, last} if IN_CI.get(recipe.name, 3) == 3 else {0, last}
    return ",".join(map(str, sorted(chosen)))


def make_imagenet1k(root: Path, *, side: int = 64) -> Path:
    """Write the three archives."""
    folders = imagenet.make_folders(root / "folders", train=IMAGES, val=[0, 0, REPORTED, 0, 0, 0, 0, 0], side=side)
    return imagenet.make_imagenet1k(folders, root / "archives")


def make_imagenet21k(root: Path) -> Path:
    """Write a tar of class tars; one image more a class, since every class gives some to the reported set."""
    folders = imagenet.make_folders(root / "folders", train=[count + 1 for count in IMAGES], val=0, side=FULL_SIDE)
    archive = root / "winter21_whole.tar"
    archive.write_bytes(imagenet.tar_of(imagenet.class_tars(folders)))
    return archive


def run_row(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Split, train two batches, fuse and evaluate, with one crop and with ten, and check what must hold for any row."""
    recipe = ROWS[name]
    monkeypatch.setenv("BANDWISE_HOME", str(root / "home"))
    if recipe.config.data.source == "imagenet21k":
        data, reported = make_imagenet21k(root), CLASSES
        monkeypatch.setattr(imagenet21k, "open_imagenet21k", WITHOUT_FILTER)
    else:
        side = FULL_SIDE if recipe.config.split.stride > 4 else 64
        data, reported = make_imagenet1k(root, side=side), REPORTED
    bands = some_bands(recipe)
    flags = [*FLAGS, "--bands", bands, "--branches", bands.replace(",", ";"), "--allow-empty-class"]
    out = root / "run"

    def call(*argv: str) -> dict[str, Any]:
        assert main([*argv, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    one = call("run", name, "--data", str(data), "--out", str(out), *flags)
    ten = call("evaluate", str(out), "--crops", "10")
    numbers = parse_bands(bands, recipe.config.split.stride**2)
    for results in (one, ten):
        assert [entry["bands"] for entry in results["branches"]] == [[band] for band in numbers]
        assert results["n_eval"] == results["n_total"] == reported
        assert len(results["data"]["classes"]) == CLASSES
        assert results["config"]["training"]["crop"] == recipe.config.training.crop
        assert results["config"]["augment"]["at"] == "image"
        assert results["fusion"]["fitted_on"] == "holdout"
    assert (one["crops"], one["views"]) == (1, "bands")
    # Under dct1d band 0, the mean, is the only one whose mirror image is its own.
    whole = recipe.config.split.stride == 1
    assert (ten["crops"], ten["views"]) == (10, "bands" if whole else "bands+source")
    assert ten["fused"]["nll"] != one["fused"]["nll"]
    for branch in range(len(numbers)):
        summary = json.loads((out / f"branch-{branch:02d}" / "summary.json").read_text())
        assert (summary["steps"], summary["n_train"]) == (BATCHES, BATCH * BATCHES)
