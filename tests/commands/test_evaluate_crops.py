"""Ten crops through the command line: from a full store, from the source, and on a node that has neither."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.commands import call
from tests.pictures import make_folder

from bandwise.runs.logits import read_logits

SPLIT = ["--canvas", "32", "--transform", "dct1d"]
TRAIN = ["--crop", "28", "--model", "resnet8-slim", "--stem", "dense", "--epochs", "1", "--batch-size", "8"]
TRAIN += ["--hflip", "0"]
ALONE = ["--workers", "1", "--decode-timeout", "0"]


def logits(run: Path, branch: int) -> np.ndarray:
    return read_logits(run / "logits" / "val-10crop" / f"branch-{branch:02d}.safetensors").logits


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_folder(tmp_path / "pictures", train=8, val=3)


def test_a_full_store_and_the_source_give_the_same_figures(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    (tmp_path / "tiny.yaml").write_text(f"data:\n  data: {pictures}\n", encoding="utf-8")
    one = call(
        capsys, "run", tmp_path / "tiny.yaml", "--out", run, *SPLIT, *TRAIN, "--branches", "1;3", *ALONE, "--jobs", "1"
    )
    assert (one["crops"], one["views"]) == (1, "bands")
    rebuilt = call(capsys, "evaluate", run, "--crops", "10")
    assert (rebuilt["crops"], rebuilt["views"]) == (10, "store")
    of_store = [logits(run, branch) for branch in (0, 1)]
    decoded = call(capsys, "evaluate", run, "--crops", "10", "--crops-from", "source")
    assert decoded["views"] == "source"
    for branch in (0, 1):
        np.testing.assert_allclose(logits(run, branch), of_store[branch], atol=0.05)
        assert not np.array_equal(logits(run, branch), of_store[branch])
    # What is there is kept where nothing else is asked for.
    assert call(capsys, "evaluate", run, "--crops", "10")["views"] == "source"
    assert json.loads((run / "results.json").read_text())["crops"] == 1
    assert json.loads((run / "results-10crop.json").read_text())["views"] == "source"
    error = call(capsys, "evaluate", run, "--crops", "10", "--crops-from", "bands", code=2)["error"]
    assert "is no function of these bands alone" in error["message"]
    for folder in (run / "branch-00").glob("step-*"):
        shutil.rmtree(folder)
    assert call(capsys, "evaluate", run, "--crops", "10")["views"] == "source"
    error = call(capsys, "evaluate", run, "--crops", "10", "--crops-from", "store", code=2)["error"]
    assert "the weights of branch 0 are not here to make it from store; leave --crops-from out" in error["message"]


def test_a_node_with_one_band_needs_the_pictures(tmp_path, pictures, capsys):
    run, store = tmp_path / "run", tmp_path / "node"
    call(capsys, "split", "--data", pictures, "--out", store, *SPLIT, "--bands", "1", *ALONE)
    call(capsys, "train", "--out", run, "--store", store, *SPLIT, "--bands", "1", "--branches", "1", *TRAIN)
    moved = pictures.rename(tmp_path / "moved")
    error = call(capsys, "evaluate", run, "--crops", "10", code=2)["error"]["message"]
    assert "lacks bands 0,2-3 of 4" in error
    assert "say where it is now with --data" in error
    assert not list((run / "logits").glob("*-10crop"))
    strangers = make_folder(tmp_path / "strangers", train=9, val=3)
    error = call(capsys, "evaluate", run, "--crops", "10", "--data", strangers, code=7)["error"]["message"]
    assert "strangers is not what" in error
    assert call(capsys, "fuse", run, "--crops", "10", "--data", moved)["branches"] == [0]
    assert call(capsys, "evaluate", run, "--crops", "10", "--data", moved)["views"] == "source"
