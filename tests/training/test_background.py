"""Checkpoints that a thread writes: the bytes of those that are waited for, one at a time, errors at the next step."""

import threading
from contextlib import nullcontext
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import NoSpaceError, Preempted, UsageError
from bandwise.training import journal, trainer
from bandwise.training.loop import BranchLoop
from bandwise.training.trainer import train_branch

BY_TIME = with_training(checkpoint_minutes=1e-9)
THREAD = "bandwise-checkpoint"


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD)]


def writing(monkeypatch, save) -> list[tuple[int, bool]]:
    """Put `save(write, step)` in the place of what writes; return the steps, and whether a thread wrote them."""
    real, seen = journal.save_checkpoint, []

    def call(folder: Path, step: int, **content: Any) -> object:
        seen.append((step, threading.current_thread().name.startswith(THREAD)))
        return save(lambda: real(folder, step, **content), step)

    monkeypatch.setattr(journal, "save_checkpoint", call)
    return seen


def without_minutes(found: dict[str, Any]) -> dict[str, Any]:
    training = {key: value for key, value in found["state"]["config"]["training"].items() if "checkpoint" not in key}
    config = {**found["state"]["config"], "training": training}
    return {**found, "state": {**found["state"], "config": config}}


def test_every_checkpoint_but_the_last_is_written_by_a_thread(store_path, tmp_path, undisturbed, monkeypatch):
    seen = writing(monkeypatch, lambda write, step: write())
    train_branch(BY_TIME, store_path, tmp_path, 1)
    assert seen == [(step, step < 12) for step in range(1, 13)]
    assert without_minutes(outcome(tmp_path)) == without_minutes(undisturbed[4])
    assert not threads()


@pytest.mark.parametrize("broken", [False, True])
def test_a_checkpoint_holds_its_step_however_late_it_is_written(store_path, tmp_path, monkeypatch, broken):
    """The training is two steps on before the thread begins; without copies, the control, it finds other weights."""
    monkeypatch.setattr(BranchLoop, "_is_due", lambda loop: loop._position.step in (2, 12))
    config = with_training(keep_checkpoints=99, checkpoint_minutes=1e-9)
    train_branch(with_training(keep_checkpoints=99), store_path, tmp_path / "at once", 1)
    later = threading.Event()
    writing(monkeypatch, lambda write, step: (step == 12 or later.wait(60)) and write())
    if broken:
        monkeypatch.setattr("bandwise.training.journal.in_host_memory", lambda tensors: tensors)
    train_branch(config, store_path, tmp_path / "late", 1, on_step=lambda step: later.set() if step == 4 else None)
    found, expected = (read_checkpoint(tmp_path / name / "step-000000002") for name in ("late", "at once"))
    parts = [(found.model, expected.model), (found.optim, expected.optim)]
    same = all(value.equal(other[name]) for one, other in parts for name, value in one.items())
    assert same is not broken
    assert found.state["position"] == expected.state["position"]


@pytest.mark.parametrize("crash", [1, 5, 6, 11])
def test_it_resumes_exactly(store_path, tmp_path, undisturbed, crash):
    with pytest.raises(CrashError):
        train_branch(BY_TIME, store_path, tmp_path, 1, on_step=crash_at(crash))
    assert steps(tmp_path)[0].name == f"step-{crash:09d}", "what was being written is waited for"
    assert not threads()
    train_branch(BY_TIME, store_path, tmp_path, 1)
    assert without_minutes(outcome(tmp_path)) == without_minutes(undisturbed[4])


def test_an_error_of_the_thread_is_raised_at_the_next_step(store_path, tmp_path, monkeypatch):
    failed, reached = threading.Event(), []

    def fail(write: Any, step: int) -> None:
        if step == 3:
            failed.set()
            raise OSError(5, "Input/output error")
        write()

    def on_step(step: int) -> None:
        reached.append(step)
        if step == 3:
            assert failed.wait(60)
            (thread,) = threads()
            assert thread.is_alive()

    writing(monkeypatch, fail)
    with pytest.raises(OSError, match="Input/output error"):
        train_branch(BY_TIME, store_path, tmp_path, 1, on_step=on_step)
    assert reached == [1, 2, 3]
    assert [path.name for path in steps(tmp_path)] == ["step-000000002", "step-000000001"]
    assert not threads()


def test_an_error_that_nobody_asks_for_is_the_negative_control(store_path, tmp_path, monkeypatch):
    def fail(write: Any, step: int) -> None:
        if step == 3:
            raise OSError(5, "Input/output error")
        write()

    writing(monkeypatch, fail)
    # It still waits, so that one checkpoint is written at a time.
    monkeypatch.setattr("bandwise.checkpoints.folder.Future.result", lambda future: future.exception() and None)
    train_branch(BY_TIME, store_path, tmp_path, 1)
    assert steps(tmp_path)[0].name == "step-000000012"


def test_full_disks_are_forgiven_twice(store_path, tmp_path, monkeypatch, capsys):
    bad = {2, 3, 5}

    def fill(write: Any, step: int) -> None:
        if step in bad:
            raise NoSpaceError("no space left")
        write()

    writing(monkeypatch, fill)
    train_branch(BY_TIME, store_path, tmp_path / "twice", 1)
    assert capsys.readouterr().err.count("WARNING: no space left") == 3
    bad |= {4}
    with pytest.raises(NoSpaceError):
        train_branch(BY_TIME, store_path, tmp_path / "thrice", 1)


def test_a_signal_waits_for_the_thread_and_saves_the_last_step_itself(store_path, tmp_path, monkeypatch, undisturbed):
    monkeypatch.setattr(BranchLoop, "_is_due", lambda loop: loop._position.step in (2, 12))
    later, received = threading.Event(), []
    seen = writing(monkeypatch, lambda write, step: (step != 2 or later.wait(60)) and write())

    def on_step(step: int) -> None:
        if step == 3:
            received.append(Signals.SIGTERM)
            later.set()

    monkeypatch.setattr(trainer, "stop_requested", lambda: nullcontext(lambda: received[0] if received else None))
    with pytest.raises(Preempted, match="after step 3 of 12, all is saved"):
        train_branch(BY_TIME, store_path, tmp_path, 1, on_step=on_step)
    assert seen == [(2, True), (3, False)]
    assert [path.name for path in steps(tmp_path)] == ["step-000000003", "step-000000002"]


def test_the_interval_is_kept(store_path, tmp_path, monkeypatch):
    """With a clock that goes on by a minute a step."""
    clock = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    seen = writing(monkeypatch, lambda write, step: write())

    def on_step(step: int) -> None:
        clock[0] += 60

    train_branch(with_training(checkpoint_minutes=4), store_path, tmp_path, 1, on_step=on_step)
    assert [step for step, _ in seen] == [5, 9, 12]


def test_minutes_below_0_are_refused():
    with pytest.raises(UsageError, match="checkpoint_minutes is -1"):
        with_training(CONFIG, checkpoint_minutes=-1.0)
