"""A machine with the pictures at half their size trains the low band, others the other bands; both are fused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.launch.conftest import CONFIG

from bandwise.cli import main
from bandwise.errors import IncompatibleError, UsageError
from bandwise.launch.pipeline import train_branches
from bandwise.runs.logits import read_logits
from bandwise.runs.run import Run, create_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset

SMALL = replace(
    CONFIG,
    split=replace(CONFIG.split, stride=1, transform="identity", canvas=12),
    branches="0",
    training=replace(CONFIG.training, crop=12),
)


def halved(pictures: Path, to: Path) -> Path:
    """Write every picture at half its size, each pixel the mean of four, under the same name."""
    for file in pictures.rglob("*.png"):
        pixels = np.asarray(Image.open(file)).astype(np.float64)
        mean = pixels.reshape(12, 2, 12, 2, 3).mean(axis=(1, 3))
        (to / file.relative_to(pictures)).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.floor(mean + 0.5).astype(np.uint8)).save(to / file.relative_to(pictures))
    return to


def trained(root: Path, config, pictures: Path) -> Run:
    split_dataset(open_folder(pictures), config.split, root / "store")
    run = create_run(root / "run", config, root / "store")
    train_branches(run)
    return run


@pytest.fixture(scope="module")
def small(pictures, tmp_path_factory) -> Run:
    """The run of the machine that has only small pictures."""
    root = tmp_path_factory.mktemp("small")
    return trained(root, SMALL, halved(pictures, root / "pictures"))


@pytest.fixture
def others(finished, tmp_path) -> Path:
    """What the machine with whole pictures has: branch 1, of band 3."""
    run = create_run(tmp_path / "others", CONFIG, finished / "store")
    assert main(["train", "--out", str(run.path), "--branch", "1"]) == 0
    return run.path


def test_it_is_fused_as_the_low_band(small, others, finished, tmp_path, capsys):
    into, store = tmp_path / "together", str(finished / "store")
    command = ["collect", str(others), "--low-resolution", str(small.path), "--into", str(into), "--store", store]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["brought"], said["missing"]) == ({"0": str(small.path), "1": str(others)}, [])
    assert main(["fuse", str(into)]) == 0
    assert main(["evaluate", str(into), "--store", store]) == 0
    assert main(["verify", str(into), "--store", store]) == 0
    assert main(command) == UsageError.exit_code
    assert "has branch 0 already" in capsys.readouterr().err
    # The mean, rounded to the nearest: these are the bytes of the low band, and so the answers are the same bits.
    for split in ("holdout", "val"):
        ours, theirs = (read_logits(path / f"logits/{split}/branch-00.safetensors") for path in (into, finished))
        assert np.array_equal(np.asarray(ours.logits), np.asarray(theirs.logits))
    assert (into / "fusion.json").read_bytes() == (finished / "fusion.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"split": replace(SMALL.split, holdout=0.5)}, IncompatibleError, "other pictures, classes or holdouts"),
        ({"split": replace(SMALL.split, canvas=16)}, IncompatibleError, "canvas: 16 -> 12"),
    ],
)
def test_other_pictures_are_refused(changes, error, words, others, finished, pictures, tmp_path, capsys):
    small = trained(tmp_path / "small", replace(SMALL, **changes), halved(pictures, tmp_path / "pictures"))
    command = ["collect", str(others), "--low-resolution", str(small.path), "--into", str(tmp_path / "into")]
    assert main([*command, "--store", str(finished / "store")]) == error.exit_code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "into" / "branch-00").exists()


def test_a_run_without_a_branch_of_the_low_band_refuses_it(small, finished, tmp_path, capsys):
    config = replace(CONFIG, branches="0,1;3")
    run = create_run(tmp_path / "run", config, finished / "store")
    assert main(["train", "--out", str(run.path), "--branch", "1"]) == 0
    assert main(["collect", str(run.path), "--low-resolution", str(small.path), "--into", str(tmp_path / "x")]) == 2
    assert "has not the low band alone" in capsys.readouterr().err
