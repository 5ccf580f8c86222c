"""Signals: the step is saved, the rest goes on later. Sudden death is in `tests/faults`."""

import os
import signal
import threading
import time

import pytest
from tests.training.tiny import CONFIG, outcome

from bandwise.checkpoints.folder import steps
from bandwise.errors import Preempted
from bandwise.training import loop
from bandwise.training.trainer import train_branch


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 3), (signal.SIGINT, 6), (signal.SIGUSR1, 12)])
def test_a_signal_saves_the_step_and_stops(store_path, tmp_path, undisturbed, number, step):
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]

    def send(done: int) -> None:
        if done == step:
            os.kill(os.getpid(), number)

    with pytest.raises(Preempted, match=rf"branch 1: stopped by {number.name} after step {step} of 12") as caught:
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=send)
    assert caught.value.exit_code == 75
    assert steps(tmp_path)[0].name == f"step-{step:09d}"
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == handlers
    assert not (tmp_path / ".lock").exists()
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


def test_a_signal_during_the_evaluation_does_not_wait_for_its_end(store_path, tmp_path, undisturbed, monkeypatch):
    real = loop.predict_split
    batches = []

    def signalled(network, stream, views, *, check):
        def counting() -> None:
            batches.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
            check()

        return real(network, stream, views, check=counting)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "predict_split", signalled)
        with pytest.raises(Preempted, match="after step 6 of 12"):
            train_branch(CONFIG, store_path, tmp_path, 1)
    assert len(batches) == 1
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]


def test_a_second_interrupt_stops_at_once(store_path, tmp_path):
    def twice(step: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=twice)
    assert steps(tmp_path) == []


def test_outside_the_main_thread_it_trains_without_handlers(store_path, tmp_path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(train_branch(CONFIG, store_path, tmp_path, 1)))
    thread.start()
    thread.join()
    assert found[0]["steps"] == 12
    assert outcome(tmp_path) == undisturbed[4]
