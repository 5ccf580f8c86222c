"""Signals and sudden death, in real processes where that matters."""

import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.training.tiny import CONFIG, outcome, with_training

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import CorruptionError, Preempted
from bandwise.files import atomic
from bandwise.training import loop
from bandwise.training.trainer import train_branch

EVERY_STEP = with_training(checkpoint_steps=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("step", [3, 6, 8, 12])
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


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own; return its id. Exit codes: 0, 75 when preempted, 70 for any other error."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        work()
        code = 0
    except Preempted as error:
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Return the exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def running(child: int) -> bool:
    """Return whether a child has not ended yet."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def test_killed_at_random_times_until_done(store_path, tmp_path, undisturbed):
    """kill -9 of a whole process, anywhere: in a step, in a checkpoint, in the evaluation, at the start."""
    rng = random.Random(3)
    killed = attempts = 0
    while attempts < 30:
        attempts += 1
        child = in_child(lambda: train_branch(EVERY_STEP, store_path, tmp_path, 1, on_step=lambda _: time.sleep(0.005)))
        time.sleep(rng.uniform(0.02, 0.16))
        os.kill(child, signal.SIGKILL)
        code = wait(child)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        for path in steps(tmp_path):
            read_checkpoint(path)
    train_branch(EVERY_STEP, store_path, tmp_path, 1)
    assert killed >= 3
    assert outcome(tmp_path) == undisturbed[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metrics.jsonl",
        "step-000000011",
        "step-000000012",
        "summary.json",
        "timing.jsonl",
    ]


def die_at(monkeypatch, call: int, names: tuple[str, ...]) -> None:
    """Kill this process just before the `call`-th of certain operations of `atomic`."""
    count = [0]

    def deadly(real):
        def operation(*args, **kwargs):
            count[0] += 1
            if count[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return operation

    for name in names:
        monkeypatch.setattr(atomic, name, deadly(getattr(atomic, name)))


@pytest.mark.parametrize("call", range(1, 15))
def test_killed_before_every_sync_of_two_checkpoints(store_path, tmp_path, undisturbed, monkeypatch, call):
    """Every point of the protocol in turn: the empty metrics first, then two checkpoints of six syncs each."""
    with monkeypatch.context() as patch:
        die_at(patch, call, ("fsync_file", "fsync_folder"))
        assert wait(in_child(lambda: train_branch(EVERY_STEP, store_path, tmp_path, 1))) == -signal.SIGKILL
    found = steps(tmp_path)
    assert len(found) == sum(call > last for last in (7, 13))
    for path in found:
        read_checkpoint(path)
    train_branch(EVERY_STEP, store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[1]


def test_a_writer_without_the_rename_is_caught_by_the_same_deaths(store_path, tmp_path, monkeypatch):
    """Negative control: a checkpoint written in place is found half done after one of those deaths."""

    def in_place(folder: Path, write: Callable[[Path], None]) -> None:
        folder.mkdir()
        write(folder)
        atomic.fsync_folder(folder)

    unreadable = 0
    for byte_write in (2, 6, 7):
        folder = tmp_path / str(byte_write)
        with monkeypatch.context() as patch:
            patch.setattr("bandwise.checkpoints.folder.commit_folder", in_place)
            count, real = [0], Path.write_bytes

            def deadly(path, content, count=count, real=real, last=byte_write):
                count[0] += path.parent.name.startswith("step-")
                if count[0] == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(path, content)

            patch.setattr(Path, "write_bytes", deadly)
            wait(in_child(lambda folder=folder: train_branch(EVERY_STEP, store_path, folder, 1)))
        for path in steps(folder):
            try:
                read_checkpoint(path)
            except CorruptionError:
                unreadable += 1
    assert unreadable == 3


def test_sigterm_to_a_process_gives_75_within_the_grace_and_loses_nothing(store_path, tmp_path, undisturbed):
    rng = random.Random(8)
    preempted = 0
    for _ in range(12):
        before = steps(tmp_path)[:1]
        child = in_child(lambda: train_branch(CONFIG, store_path, tmp_path, 1, on_step=lambda _: time.sleep(0.02)))
        # The handlers are in place as soon as there is a new checkpoint.
        while before == steps(tmp_path)[:1] and running(child):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGTERM)
        started = time.monotonic()
        code = wait(child)
        assert time.monotonic() - started < 10
        if code == 0:
            break
        assert code == 75
        preempted += 1
    train_branch(CONFIG, store_path, tmp_path, 1)
    assert preempted >= 1
    assert outcome(tmp_path) == undisturbed[4]
