"""Signals, losses and disks that go wrong at a chosen step of a training."""

import errno
import os
import signal
from collections.abc import Collection

import numpy as np
from tests.bad_inputs.bench import Bench

from bandwise.checkpoints import folder as checkpoints
from bandwise.training import journal, loop
from bandwise.training.learner import Learner


def with_signal(bench: Bench, step: int, number: signal.Signals) -> None:
    """Send a signal to this process when a step is done and saved."""
    real = loop.BranchLoop._stop_if_asked

    def stop_if_asked(self) -> None:
        if self._position.step == step:
            os.kill(os.getpid(), number)
        real(self)

    bench.patch.setattr(loop.BranchLoop, "_stop_if_asked", stop_if_asked)


def bad_losses(bench: Bench, calls: Collection[int]) -> None:
    """Make the loss infinite at certain calls, counted from 1."""
    real, count = Learner.loss, [0]

    def loss(self, *given):
        count[0] += 1
        value = real(self, *given)
        return value * np.inf if count[0] in calls else value

    bench.patch.setattr(Learner, "loss", loss)


def full_disk(bench: Bench, failing: Collection[int]) -> None:
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
