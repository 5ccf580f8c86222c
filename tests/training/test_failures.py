"""Full disks and losses that are not finite: what was saved stays, and the words say what to do."""

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training

from bandwise.checkpoints.folder import average_weights, read_checkpoint, save_checkpoint, steps
from bandwise.checkpoints.tensors import NotFiniteError
from bandwise.errors import CorruptionError, NoSpaceError
from bandwise.training import journal, loop
from bandwise.training.learner import Learner
from bandwise.training.loop import DivergedError
from bandwise.training.trainer import train_branch


def full_disk(monkeypatch, when):
    real = journal.save_checkpoint

    def save(folder, step, **kwargs):
        if when(step):
            raise NoSpaceError(f"no space left while writing {folder}")
        return real(folder, step, **kwargs)

    monkeypatch.setattr(journal, "save_checkpoint", save)


def test_a_full_disk_is_survived_when_space_comes_back(store_path, tmp_path, undisturbed, monkeypatch, capsys):
    full_disk(monkeypatch, lambda step: step in (2, 3, 5))
    train_branch(with_training(checkpoint_steps=1), store_path, tmp_path, 1)
    assert capsys.readouterr().err.count("WARNING: no space left") == 3
    assert outcome(tmp_path) == undisturbed[1]


def bad_losses(monkeypatch, *calls: int):
    """Make the loss infinite at certain calls, counted from 1."""
    real, count = Learner.loss, [0]

    def loss(learner, images, targets):
        count[0] += 1
        value = real(learner, images, targets)
        return value * float("inf") if count[0] in calls else value

    monkeypatch.setattr(Learner, "loss", loss)


def test_one_bad_loss_is_left_out(store_path, tmp_path, undisturbed, monkeypatch):
    bad_losses(monkeypatch, 2, 3, 5)
    summary = train_branch(CONFIG, store_path, tmp_path, 1)
    assert np.isfinite(summary["train_loss"])
    assert outcome(tmp_path)["tensors"] != undisturbed[4]["tensors"]


@pytest.fixture
def late(monkeypatch):
    """Losses are read a step late, as on an accelerator."""
    monkeypatch.setattr(Learner, "late", True)


@pytest.mark.parametrize("bad", [(), (2, 3, 5), (1, 2), (4,), (5, 6), (12,)])
def test_losses_that_are_read_late_give_the_same_training(store_path, tmp_path, monkeypatch, bad):
    """Bit for bit, wherever a loss is not finite: before a checkpoint, at the end of an epoch, at the end of all."""
    for name, is_late in (("at once", False), ("late", True)):
        with monkeypatch.context() as patch:
            patch.setattr(Learner, "late", is_late)
            bad_losses(patch, *bad)
            train_branch(CONFIG, store_path, tmp_path / name, 1)
    assert outcome(tmp_path / "late") == outcome(tmp_path / "at once")


@pytest.mark.parametrize("crash", [3, 4, 5, 7])
def test_a_training_with_late_losses_resumes_exactly(store_path, tmp_path, undisturbed, late, crash):
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=crash_at(crash))
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


@pytest.mark.parametrize("bad", [(2, 3, 4), (4, 5, 6), (10, 11, 12)])
def test_three_bad_losses_in_a_row_stop_a_late_training_at_the_same_step(store_path, tmp_path, late, monkeypatch, bad):
    """Nothing is saved of it."""
    bad_losses(monkeypatch, *bad)
    with pytest.raises(DivergedError, match=f"not finite 3 times in a row, at step {bad[-1]} "):
        train_branch(CONFIG, store_path, tmp_path, 1)
    assert [path.name for path in steps(tmp_path)][:1] == ([f"step-{bad[0] // 4 * 4:09d}"] if bad[0] > 3 else [])


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("crash", [(), (1,)])
def test_a_bad_first_loss_leaves_no_random_weights_in_the_moving_average(
    store_path, tmp_path, monkeypatch, every, crash
):
    """The first update of the weights is copied, whichever step makes it, also where a resumed training makes it."""
    bad_losses(monkeypatch, 1)
    config = with_training(checkpoint_steps=1, model_ema_steps=every)
    for stop in (*crash, 2):
        with pytest.raises(CrashError):
            train_branch(config, store_path, tmp_path, 1, on_step=crash_at(stop))
    found = read_checkpoint(steps(tmp_path)[0])
    assert found.state["position"]["step"] == 2
    average = average_weights(found)
    assert average.keys() == found.model.keys()
    assert all(np.array_equal(average[name], value) for name, value in found.model.items())


def test_predictions_that_are_not_finite_stop_a_branch(store_path, tmp_path, monkeypatch):
    """Weights may be finite and still give infinities; such metrics could not even be written as JSON."""
    batch = torch.arange(9), torch.zeros(9, dtype=torch.int64), torch.full((9, 3), torch.inf)
    monkeypatch.setattr(loop, "predict_split", lambda *args, **kwargs: [batch])
    with pytest.raises(DivergedError, match="logits on the holdout are not finite, at step 6"):
        train_branch(CONFIG, store_path, tmp_path, 1)


def test_a_checkpoint_of_something_else_is_refused(store_path, tmp_path):
    save_checkpoint(tmp_path, 3, model={}, optim={}, state={"config": []}, keep=2)
    with pytest.raises(CorruptionError, match="does not describe a branch"):
        train_branch(CONFIG, store_path, tmp_path, 1)


def test_weights_that_diverge_are_never_saved(store_path, tmp_path):
    with pytest.raises((DivergedError, NotFiniteError), match="--lr"):
        train_branch(with_training(lr=1e30, warmup_epochs=0, epochs=4), store_path, tmp_path, 1)
    for path in steps(tmp_path):
        read_checkpoint(path)
