"""Signals, losses and disks that go wrong at a chosen step of a training, and files that are damaged after it."""

import errno
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.bad_inputs.bench import Bench
from tests.bad_inputs.trained import change_json, newest

from bandwise.checkpoints import folder as checkpoints
from bandwise.checkpoints.folder import steps
from bandwise.training import journal, loop
from bandwise.training.learner import Learner


def newest_step(run: Path) -> int:
    return int(newest(run).name.removeprefix("step-"))


def with_signal(bench: Bench, step: int, number: signal.Signals) -> None:
    """Send a signal to this process when a step is done and saved."""
    real = loop.BranchLoop._stop_if_asked

    def stop_if_asked(self) -> None:
        if self._position.step == step:
            os.kill(os.getpid(), number)
        real(self)

    bench.patch.setattr(loop.BranchLoop, "_stop_if_asked", stop_if_asked)


def bad_losses(bench: Bench, calls: Sequence[int]) -> None:
    """Make the loss infinite at certain calls, counted from 1."""
    real, count = Learner.loss, [0]

    def loss(self, *given):
        count[0] += 1
        value = real(self, *given)
        return value * np.inf if count[0] in calls else value

    bench.patch.setattr(Learner, "loss", loss)


def full_disk(bench: Bench, failing: Sequence[int] | set[int]) -> None:
    """Let the writing of the checkpoints of certain steps meet a full disk."""
    save, serialise, full = journal.save_checkpoint, checkpoints.to_bytes, [False]

    def save_checkpoint(folder, step, **content):
        full[0] = step in failing
        return save(folder, step, **content)

    def to_bytes(tensors):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return serialise(tensors)

    bench.patch.setattr(journal, "save_checkpoint", save_checkpoint)
    bench.patch.setattr(checkpoints, "to_bytes", to_bytes)


def label_out_of_range(store: Path) -> None:
    change_json(store / "MANIFEST.json", classes=["class-0", "class-1"])


def band_file(store: Path) -> Path:
    return next(store.glob("band-00/train-*.parquet"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_newest(run: Path) -> None:
    flip(newest(run) / "model.safetensors")


def flip_all(run: Path) -> None:
    for path in steps(run / "branch-00"):
        flip(path / "model.safetensors")


def clocks(run: Path) -> None:
    """Turn the order of the times round, and let one lie before 1970."""
    for number, path in enumerate(steps(run / "branch-00")):
        for each in (path, *path.iterdir()):
            os.utime(each, ns=(-(10**9) + 10**12 * number,) * 2)


def half_a_row(run: Path) -> None:
    with open(run / "branch-00" / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"epoch": 2, "train_lo')


def last_finite(bench: Bench) -> None:
    branch = bench.path / "run" / "branch-00"
    assert newest_step(bench.path / "run") < 6
    assert checkpoints.read_checkpoint(steps(branch)[0]).state["position"]["bad_losses"] < 3


def other_branch_is_finished(bench: Bench) -> None:
    assert not (bench.path / "run" / "branch-00" / "summary.json").exists()
    assert (bench.path / "run" / "branch-01" / "summary.json").exists()
    bench.call("fuse", bench.path / "run")
    assert bench.code == 2
    assert "branches [0] of" in bench.err


def not_started_again(bench: Bench) -> None:
    assert {path.name for path in (bench.path / "run" / "branch-00").glob("*step-*")} != set()
    assert newest_step(bench.path / "run") <= 7
