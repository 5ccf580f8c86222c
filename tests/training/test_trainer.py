"""What `train_branch` returns and refuses."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from tests.pictures import make_folder
from tests.training.tiny import CANVAS, CONFIG, CrashError, crash_at, make_store, outcome, with_training

from bandwise.checkpoints.folder import steps
from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.documents import read_document
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset
from bandwise.training import trainer
from bandwise.training.trainer import train_branch


def test_the_summary_says_what_was_trained(store_path, tmp_path):
    summary = train_branch(CONFIG, store_path, tmp_path, 2)
    assert summary == read_document(tmp_path / "summary.json")
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert summary["branch"] == 2
    assert summary["bands"] == [2]
    assert (summary["epochs"], summary["steps"], summary["n_train"]) == (2, 12, 36)
    # 6 filters of 3x3x3 with a bias, batch norm of 6, and 6 x 4 x 4 inputs to 3 classes.
    assert summary["params"] == 6 * 28 + 12 + 3 * 97
    assert summary["train_loss"] == row["train_loss"]
    assert summary["holdout"]["n"] == 9
    assert {key: summary["holdout"][key] for key in ("top1", "nll")} == row["holdout"]
    assert summary["peak_bytes"] > 10_000_000
    assert summary["wall_s"] > 0
    assert summary["from_scratch"] is True
    assert summary["initial_checkpoint"] is None
    assert (summary["seed"], summary["threads"]) == (0, 1)
    # The metadata of a wheel may leave out which build it is.
    assert summary["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_it_learns(store_path, tmp_path):
    """Three hues are told apart by their mean, so the low band must beat chance, 1/3, by far."""
    config = replace(
        with_training(epochs=8, model_ema=False, smoothing=0.0), augment=replace(CONFIG.augment, mixup=0.0, cutmix=0.0)
    )
    summary = train_branch(config, store_path, tmp_path, 0)
    assert summary["holdout"]["top1"] > 0.8


def test_a_branch_without_a_holdout_and_what_does_not_fit_it(store_path, tmp_path):
    config = replace(CONFIG, split=replace(CONFIG.split, holdout=0.0))
    summary = train_branch(config, make_store(tmp_path, config), tmp_path / "branch", 0)
    assert summary["holdout"] is None
    assert summary["n_train"] == 45
    with pytest.raises(IncompatibleError, match=r"holdout: 0\.2 -> 0\.0"):
        train_branch(config, store_path, tmp_path / "other", 0)
    pictures = make_folder(tmp_path / "others", classes=3, train=16, val=2, side=CANVAS)
    split_dataset(open_folder(pictures), config.split, tmp_path / "store-2")
    # A finished branch looks at no store.
    (tmp_path / "branch" / "summary.json").unlink()
    with pytest.raises(IncompatibleError, match=r"was trained on the store .* other samples, classes or pixels"):
        train_branch(config, tmp_path / "store-2", tmp_path / "branch", 0)


@pytest.mark.parametrize(
    ("changes", "branch", "message"),
    [
        ({}, 4, "branch is 4; this run has the branches 0 to 3"),
        ({"precision": "16-mixed", "device": "cpu"}, 1, "precision is '16-mixed', which needs CUDA"),
        pytest.param(
            {"device": "cuda"},
            1,
            "device is 'cuda', but torch sees no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device"),
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(store_path, tmp_path, changes, branch, message):
    with pytest.raises(UsageError, match=message):
        train_branch(with_training(**changes), store_path, tmp_path, branch)


def test_a_finished_branch_returns_at_once(store_path, tmp_path, monkeypatch):
    summary = train_branch(CONFIG, store_path, tmp_path, 1)

    def forbidden(*args, **kwargs):
        raise AssertionError("a finished branch needs no store")

    monkeypatch.setattr("bandwise.training.trainer.open_store", forbidden)
    assert train_branch(CONFIG, store_path, tmp_path, 1) == summary


def test_what_does_not_change_the_result_may_change(store_path, tmp_path, undisturbed, capsys):
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=crash_at(5))
    train_branch(with_training(checkpoint_steps=1, keep_checkpoints=5, cache="none"), store_path, tmp_path, 1)
    assert "bit-exact" not in capsys.readouterr().err
    found = outcome(tmp_path)
    assert found["tensors"] == undisturbed[4]["tensors"]
    assert found["metrics"] == undisturbed[4]["metrics"]
    assert len(steps(tmp_path)) == 5


def test_the_other_branches_of_a_run_do_not_concern_this_one(store_path, tmp_path, undisturbed):
    """Data, fusion, name and the groups of other branches are no part of a branch."""
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=crash_at(5))
    other = replace(CONFIG, branches="0,2;1", name="another", data=replace(CONFIG.data, data="/elsewhere"))
    train_branch(other, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


def test_kept_memory_changes_no_bit(undisturbed, store_path, tmp_path, monkeypatch):
    entered = []

    @contextmanager
    def given_back():
        entered.append(True)
        yield

    monkeypatch.setattr(trainer, "keep_freed_memory", given_back)
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert entered
    assert outcome(tmp_path) == undisturbed[CONFIG.training.checkpoint_steps]
