"""Trainings that end before their last epoch: by a time, or because the holdout gains nothing."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, outcome, with_training

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import newest_checkpoint
from bandwise.config import TrainingConfig
from bandwise.config.training import seconds_of
from bandwise.errors import UsageError
from bandwise.training import loop
from bandwise.training.journal import Journal
from bandwise.training.loop import has_stalled, steps_in_time
from bandwise.training.trainer import train_branch


@pytest.fixture
def clock(monkeypatch):
    """A clock of the tests: 10 s pass with every step."""
    clock = SimpleNamespace(now=0.0)
    session = lambda journal: {"wall_s": clock.now, "cpu_s": 0.0, "peak_bytes": 1}  # noqa: E731
    monkeypatch.setattr(Journal, "session", session)

    def tick(step: int) -> None:
        clock.now += 10

    clock.tick = tick
    return clock


def test_the_epochs_that_fit_are_trained_by_a_schedule_of_so_many(store_path, tmp_path, clock, capsys):
    config = with_training(epochs=10, stop_after="200s")
    summary = train_branch(config, store_path, tmp_path / "timed", 1, on_step=clock.tick)
    # Before step 6 there have passed 50 s, so 4 epochs of 6 steps would fit; before step 12 110 s, so 3 do.
    assert "branch 1: 4 epochs fit 200s" in (said := capsys.readouterr().err)
    assert "branch 1: 3 epochs fit 200s" in said
    assert (summary["epochs"], summary["steps"]) == (3, 18)
    assert clock.now <= 200
    rows = [json.loads(line) for line in (tmp_path / "timed" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    train_branch(with_training(epochs=3), store_path, tmp_path / "three", 1)
    last = json.loads((tmp_path / "three" / "metrics.jsonl").read_text().splitlines()[-1])
    assert rows[-1]["lr"] == last["lr"]
    # It counts as finished, for whoever reads it and for the next call.
    load_branch(tmp_path / "timed")
    assert train_branch(config, store_path, tmp_path / "timed", 1) == summary


def test_one_that_is_killed_goes_on_in_the_time_that_is_left(store_path, tmp_path, clock):
    config = with_training(epochs=10, stop_after="200s")
    train_branch(config, store_path, tmp_path / "whole", 1, on_step=clock.tick)
    clock.now, crash = 0.0, crash_at(14)

    def tick_and_crash(step: int) -> None:
        clock.tick(step)
        crash(step)

    with pytest.raises(CrashError):
        train_branch(config, store_path, tmp_path / "parts", 1, on_step=tick_and_crash)
    checkpoint = newest_checkpoint(tmp_path / "parts")
    assert checkpoint is not None
    assert (checkpoint.state["position"]["step"], checkpoint.state["total_steps"]) == (12, 18)
    clock.now = 120.0
    train_branch(config, store_path, tmp_path / "parts", 1, on_step=clock.tick)
    assert outcome(tmp_path / "parts")["tensors"] == outcome(tmp_path / "whole")["tensors"]


def test_steps_in_a_time():
    def steps(step: int, elapsed_s: float) -> int:
        training = TrainingConfig(epochs=10, stop_after="1m")
        return steps_in_time(training, step=step, elapsed_s=elapsed_s, steps_per_epoch=5)

    assert steps(5, 0.001) == 50
    assert steps(5, 20) == 15
    assert steps(5, 21) == 10
    # The epoch that runs is finished, however long it takes.
    assert steps(5, 500) == 5
    assert steps(6, 500) == 10


def test_times():
    assert [seconds_of(time) for time in ("6h", "90m", "1h30m", "2d", "0.5s")] == [21600, 5400, 5400, 172800, 0.5]
    for wrong in ("6", "h", "6 h", "0h", "-1h", "1h30"):
        with pytest.raises(UsageError, match=r"stop_after is .* 6h, 90m or 1h30m"):
            TrainingConfig(stop_after=wrong)


def scripted(monkeypatch, *top1s: float) -> list[float]:
    """Let the evaluations find these accuracies in turn; returns those that are left."""
    left = list(top1s)
    monkeypatch.setattr(loop, "_holdout_metrics", lambda branch: lambda network, check: scores(left.pop(0)))
    return left


def scores(top1: float) -> dict[str, float]:
    return {"n": 9, "top1": top1, "top5": 1.0, "nll": 1.0, "ece": 0.1}


@pytest.mark.parametrize("minutes", [0.0, 60.0])
def test_a_branch_that_gains_nothing_ends(store_path, tmp_path, monkeypatch, capsys, minutes):
    config = with_training(epochs=9, patience=2, checkpoint_minutes=minutes)
    left = scripted(monkeypatch, 0.2, 0.5, 0.3, 0.5, 0.9)
    summary = train_branch(config, store_path, tmp_path / "run", 1)
    assert "branch 1: ends after epoch 4, as 2 epochs gained nothing" in capsys.readouterr().err
    assert left == [0.9]
    assert (summary["epochs"], summary["steps"], summary["holdout"]["top1"]) == (4, 24, 0.5)
    load_branch(tmp_path / "run")
    assert train_branch(config, store_path, tmp_path / "run", 1) == summary
    # Killed after the last checkpoint, it evaluates once more, and ends there too.
    (tmp_path / "run" / "summary.json").unlink()
    scripted(monkeypatch, 0.5)
    again = train_branch(config, store_path, tmp_path / "run", 1)
    assert (again["epochs"], again["steps"]) == (4, 24)


def test_patience_changes_nothing_where_every_epoch_gains(store_path, tmp_path, monkeypatch):
    for folder, patience in (("plain", 0), ("patient", 1)):
        scripted(monkeypatch, 0.2, 0.5)
        train_branch(with_training(patience=patience), store_path, tmp_path / folder, 1)
    assert outcome(tmp_path / "plain")["tensors"] == outcome(tmp_path / "patient")["tensors"]


def test_what_stalls():
    assert not has_stalled([0.5, 0.5], 2)
    assert has_stalled([0.5, 0.5, 0.5], 2)
    assert not has_stalled([0.5, 0.4, 0.6], 2)
    assert has_stalled([0.4, 0.5, 0.5], 1)


def test_patience_needs_a_holdout(tmp_path):
    config = with_training(replace(CONFIG, split=replace(CONFIG.split, holdout=0.0)), patience=1)
    with pytest.raises(UsageError, match="patience looks at the holdout"):
        train_branch(config, make_store(tmp_path, config), tmp_path / "branch", 0)
