"""An interrupted training and an undisturbed one must agree in every bit."""

import json

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training

from bandwise.checkpoints.folder import steps
from bandwise.files.documents import read_rows
from bandwise.training import journal, learner, loop
from bandwise.training.journal import Journal, Position
from bandwise.training.optim import Schedule
from bandwise.training.trainer import train_branch

STEPS = 12
EVERY_STEP = with_training(checkpoint_steps=1)


def crash(config, store_path, folder, *wanted):
    with pytest.raises(CrashError):
        train_branch(config, store_path, folder, 1, on_step=crash_at(*wanted))


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_resumed_at_every_step(store_path, tmp_path, undisturbed, step):
    crash(EVERY_STEP, store_path, tmp_path, step)
    assert steps(tmp_path)[0].name == f"step-{step:09d}"
    train_branch(EVERY_STEP, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[1]


@pytest.mark.parametrize("step", [1, 7])
def test_steps_after_the_last_checkpoint_are_trained_again(store_path, tmp_path, undisturbed, step):
    crash(CONFIG, store_path, tmp_path, step)
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_in_the_evaluation_of_an_epoch(store_path, tmp_path, undisturbed, monkeypatch, epoch):
    real, calls = loop.predict_split, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == epoch:
            raise CrashError
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "predict_split", failing)
        crash(CONFIG, store_path, tmp_path)
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


@pytest.mark.parametrize(
    "changes",
    [
        {"opt": "adamw", "lr": 0.002, "model_ema": False, "clip_grad": 0.5},
        {"opt": "lamb", "lr": 0.01, "sched": "step", "decay_epochs": 1},
        {"opt": "lookahead_sgd", "sched": "none", "cache": "none"},
        {"precision": "bf16-mixed"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_other_recipes_resume_as_exactly(store_path, tmp_path, changes):
    config = with_training(checkpoint_steps=3, **changes)
    train_branch(config, store_path, tmp_path / "whole", 2)
    for step in (2, 5, 9):
        with pytest.raises(CrashError):
            train_branch(config, store_path, tmp_path / "parts", 2, on_step=crash_at(step))
    train_branch(config, store_path, tmp_path / "parts", 2)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_learning_rates_of_a_resumed_training_are_those_of_an_undisturbed_one(store_path, tmp_path, monkeypatch):
    used: list[float] = []
    real = Schedule.advance

    def spying(schedule):
        used.append(schedule.lr)
        real(schedule)

    monkeypatch.setattr(Schedule, "advance", spying)
    train_branch(EVERY_STEP, store_path, tmp_path / "whole", 1)
    whole = used.copy()
    used.clear()
    for step in (2, 6, 7):
        crash(EVERY_STEP, store_path, tmp_path / "parts", step)
    train_branch(EVERY_STEP, store_path, tmp_path / "parts", 1)
    assert len(set(whole)) == STEPS
    assert used == whole
    rows = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == [whole[5], whole[11]]


def forget_random_numbers(monkeypatch):
    monkeypatch.setattr(learner, "restore_random_states", lambda states, device: None)


def forget_schedule(monkeypatch):
    monkeypatch.setattr(Schedule, "load_state_dict", lambda schedule, state: None)


def forget_optimizer(monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "load_state_dict", lambda optimizer, state: None)


def forget_average(monkeypatch):
    monkeypatch.setattr(learner, "average_weights", lambda checkpoint: checkpoint.model)


def forget_loss_sum(monkeypatch):
    def without(**saved):
        return Position(**saved | {"loss_sum": 0.0})

    monkeypatch.setattr(loop, "Position", without)


@pytest.mark.parametrize(
    "forget", [forget_random_numbers, forget_schedule, forget_optimizer, forget_average, forget_loss_sum]
)
def test_the_comparison_fails_when_something_is_not_restored(store_path, tmp_path, undisturbed, monkeypatch, forget):
    """Negative controls: without them, equal outcomes would prove nothing."""
    crash(EVERY_STEP, store_path, tmp_path, 8)
    forget(monkeypatch)
    train_branch(EVERY_STEP, store_path, tmp_path, 1)
    assert outcome(tmp_path) != undisturbed[1]


def test_metrics_are_rewound_and_repaired(store_path, tmp_path, undisturbed):
    crash(CONFIG, store_path, tmp_path, 7)
    path = tmp_path / "metrics.jsonl"
    row = path.read_text()
    assert row.count("\n") == 1
    for damaged in (row + '{"epoch": 2, "st', row + row + row, "", None):
        if damaged is None:
            path.unlink()
        else:
            path.write_text(damaged)
        crash(CONFIG, store_path, tmp_path, 7)
        assert path.read_text() == row
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


def test_metrics_hold_no_time_and_timings_are_elsewhere(store_path, tmp_path):
    train_branch(CONFIG, store_path, tmp_path, 1)
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [6, 12]
    assert all(row.keys() == {"epoch", "step", "lr", "train_loss", "holdout"} for row in rows)
    assert all(row["holdout"].keys() == {"top1", "nll"} for row in rows)
    timings = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [row["images"] for row in timings] == [36, 36]
    assert all(row["wall_s"] > 0 for row in timings)


def test_times_are_the_sums_over_all_calls(store_path, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(journal.time, "process_time", lambda: 0.3 * now[0])

    def ten_seconds(step: int) -> None:
        now[0] += 10
        if step in (3, 8):
            raise CrashError

    for _ in range(2):
        with pytest.raises(CrashError):
            train_branch(EVERY_STEP, store_path, tmp_path, 1, on_step=ten_seconds)
    summary = train_branch(EVERY_STEP, store_path, tmp_path, 1, on_step=ten_seconds)
    # The ten seconds between the last checkpoint and each crash are on no disk.
    assert summary["wall_s"] == 10 * STEPS - 20
    assert summary["cpu_s"] == pytest.approx(0.3 * summary["wall_s"])
    assert summary["images_per_s"] == 0.72


def test_a_processor_time_that_is_known_in_part_is_not_reported(tmp_path):
    resumed = Journal(tmp_path, {}, torch.device("cpu"), keep=2)
    resumed.resume({"session": {"wall_s": 100.0, "peak_bytes": 1}, "position": {"step": 3}})
    session = resumed.session()
    assert session["cpu_s"] is None
    assert session["wall_s"] >= 100


def test_the_peak_memory_is_that_of_the_branch(tmp_path):
    """What the process held before, for another branch, does not count."""
    before = Journal(tmp_path, {}, torch.device("cpu"), keep=2)
    held = np.ones(300 << 20, np.uint8)
    earlier = before.session()["peak_bytes"]
    del held
    assert Journal(tmp_path, {}, torch.device("cpu"), keep=2).session()["peak_bytes"] < earlier - (200 << 20)
