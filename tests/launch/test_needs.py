"""What a run will need to its end is asked for before the first picture is read; and what works with less."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.launch.conftest import CONFIG
from tests.pictures import make_folder

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.launch import pipeline
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.pipeline import train_branches
from bandwise.runs.documents import read_results
from bandwise.runs.run import create_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.store.writing.split import split_dataset

FLAGS = ["--canvas", "24", "--crop", "20", "--model", "resnet8-slim", "--stem", "dense", "--epochs", "1"]
FLAGS += ["--batch-size", "6", "--branches", "0;3", "--jobs", "1", "--workers", "1", "--decode-timeout", "0"]


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_folder(tmp_path / "pictures", classes=2, train=8, val=3, side=24)


@pytest.fixture
def call(tmp_path, pictures, capsys):
    """Run a recipe on the pictures; return exit code, the object of --json, and what was said beside it."""
    (tmp_path / "tiny.yaml").write_text("name: tiny\n")

    def run(*flags: str, data: Path = pictures) -> tuple[int, dict, str]:
        out = ["--out", str(tmp_path / "run"), "--data", str(data), "--source", "folder"]
        code = main(["run", str(tmp_path / "tiny.yaml"), *out, *FLAGS, *flags, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out), said.err

    return run


def flat(pictures: Path) -> Path:
    """Class folders without train/ around them."""
    return (pictures / "train").rename(pictures.with_name("flat"))


def without_val(pictures: Path) -> Path:
    shutil.rmtree(pictures / "val")
    return pictures


def validation(pictures: Path) -> Path:
    (pictures / "val").rename(pictures / "reserve")
    return pictures


def one_class(pictures: Path) -> Path:
    for folder in pictures.glob("*/class-1"):
        shutil.rmtree(folder)
    return pictures


NO_HOLDOUT = ["--holdout", "0", "--holdout-min", "0"]
LACKING = {
    "no folder to report on": (without_val, [], "has no reported set, neither val nor test"),
    "another name of it": (validation, [], "has no reported set, neither val nor test"),
    "class folders alone": (flat, [], "has no reported set, neither val nor test"),
    "no holdout for a rule": (
        None,
        NO_HOLDOUT,
        "has no holdout (--holdout 0, --holdout-min 0), and the fusion 'learned'",
    ),
    "no holdout for greedy": (None, [*NO_HOLDOUT, "--fusion", "greedy"], "the fusion 'greedy' of 2 branches"),
    "no holdout for a head": (None, [*NO_HOLDOUT, "--fusion", "head", "--branches", "0"], "the fusion 'head' of 1"),
    "one class": (one_class, [], "has one class; a classifier needs at least 2"),
    "a flip that no band has": (None, ["--transform", "dct1d"], "cannot do an exact hflip"),
    "an optimiser that is none": (None, ["--opt", "admw"], "did you mean adam"),
    "half precision on a CPU": (None, ["--precision", "16-mixed", "--device", "cpu"], "which needs CUDA"),
    "a policy that is none": (None, ["--augment-at", "image", "--aa", "rand-x"], "aa is 'rand-x'"),
    "less than a batch": (None, ["--batch-size", "11"], "has 10 images to train on beside the holdout"),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_a_run_lacks_is_told_before_a_picture_is_read(call, pictures, tmp_path, what, monkeypatch):
    change, flags, message = LACKING[what]
    data = pictures if change is None else change(pictures)
    monkeypatch.setattr("bandwise.sources.folder.FolderSource.read", lambda *given: pytest.fail("it was read"))
    code, result, _ = call(*flags, data=data)
    assert code == 2
    assert message in result["error"]["message"]
    assert not (tmp_path / "run").exists()


def test_without_the_look_ahead_it_is_told_after_the_work(call, pictures, tmp_path, monkeypatch):
    """Negative control: what the test above saves."""
    monkeypatch.setattr(pipeline, "_require_samples", lambda *given: None)
    code, result, _ = call(data=without_val(pictures))
    assert (code, "no reported set" in result["error"]["message"]) == (2, True)
    assert len(list((tmp_path / "run").glob("branch-*/summary.json"))) == 2


@pytest.mark.parametrize(
    "flags", [["--fusion", "mean"], ["--branches", "3"], ["--branches", "3", "--fusion", "greedy"]]
)
def test_without_a_holdout_the_mean_and_a_single_branch_work(call, tmp_path, flags):
    code, result, said = call(*NO_HOLDOUT, *flags)
    assert code == 0
    assert "is not fitted: weights are equal and the temperature is 1" in said
    results = read_results(tmp_path / "run" / "results.json")
    assert (results.fusion.temperature, results.fusion.fitted_on, results.data.n_holdout) == (1.0, "nothing", 0)
    assert [entry.holdout for entry in results.branches] == [None] * len(results.branches)
    assert results.rules[results.fusion.rule].top1 == results.fused.top1 == result["fused"]["top1"]
    assert "There is no holdout" in (tmp_path / "run" / "report.html").read_text()
    SpectralEnsemble.from_run(tmp_path / "run")


@pytest.mark.parametrize("change", [without_val, flat, lambda pictures: pictures])
def test_no_reported_set_is_no_scores(call, pictures, tmp_path, change):
    """Also where there is one that is not to be looked at."""
    code, result, _ = call("--reported", "none", data=change(pictures))
    assert code == 0
    run = tmp_path / "run"
    assert result.keys() == {"run", "fusion", "report"}
    assert (run / "fusion.json").exists()
    assert not (run / "results.json").exists()
    assert not list(run.glob("logits/val/*"))
    assert main(["predict", str(run), str(next(pictures.parent.rglob("*.png")))]) == 0


def test_a_reported_set_may_be_added_to_a_finished_run(call, pictures, tmp_path, capsys):
    """By the same command without --reported none, and step by step."""
    val = (pictures / "val").rename(tmp_path / "later")
    run = tmp_path / "run"
    assert call("--reported", "none")[0] == 0
    weights = {path: weights_digest(path) for path in run.glob("branch-*")}
    shutil.copytree(run, tmp_path / "copy")
    val.rename(pictures / "val")
    code, result, said = call()
    assert code == 0, result
    assert "adding the reported set, 6 images" in said
    assert {path: weights_digest(path) for path in run.glob("branch-*")} == weights
    assert (result["n_eval"], main(["verify", str(run)]), main(["predict", str(run), str(pictures / "val")])) == (
        6,
        0,
        0,
    )
    copy = tmp_path / "copy"
    flags = ["--data", str(pictures), "--canvas", "24", "--workers", "1"]
    assert main(["split", *flags, "--out", str(copy / "store")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fused"] == result["fused"]


def test_a_source_of_ones_own_needs_no_name(tmp_path):
    config = replace(CONFIG, split=replace(CONFIG.split, canvas=8), training=replace(CONFIG.training, crop=8, epochs=1))
    split_dataset(RandomSource(train=24, val=6), config.split, tmp_path / "run" / "store")
    run = create_run(tmp_path / "run", config)
    train_branches(run)
    assert evaluate_run(run).data.name == "random"
