"""Where a branch stands, and what it writes while it trains: checkpoints, exact metrics, rough timings."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from bandwise.checkpoints.folder import BackgroundWriter, in_host_memory, save_checkpoint
from bandwise.errors import NoSpaceError
from bandwise.files.documents import write_rows
from bandwise.files.regular import append_line
from bandwise.progress import say
from bandwise.training.learner import Learner

METRICS_NAME = "metrics.jsonl"
TIMING_NAME = "timing.jsonl"

_MAX_FULL_DISKS = 3
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Position:
    """The counters and sums after a step; the order of the data follows from `epoch` and `batches` alone."""

    step: int = 0
    """Optimiser steps done."""
    epoch: int = 0
    """Epochs finished, evaluation included."""
    batches: int = 0
    """Batches trained in the running epoch."""
    lr: float = 0.0
    """Learning rate of the last step."""
    loss_sum: float = 0.0
    """Sum of the loss over the images of the running epoch, in nats."""
    loss_images: int = 0
    """Images in that sum."""
    bad_losses: int = 0
    """Losses that were not finite since the last finite one."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The rows of metrics.jsonl, one for each finished epoch."""

    def count_loss(self, loss: float, images: int) -> None:
        """Add the finite mean loss of a batch."""
        self.loss_sum += loss * images
        self.loss_images += images
        self.bad_losses = 0

    def finish_epoch(self, holdout: dict[str, Any] | None) -> None:
        """Append the row of the epoch, with these metrics on the holdout, and start the next one."""
        self.epoch += 1
        self.history.append(
            {
                "epoch": self.epoch,
                "step": self.step,
                "lr": self.lr,
                "train_loss": self.loss_sum / self.loss_images if self.loss_images else None,
                "holdout": holdout and {key: holdout[key] for key in ("top1", "nll")},
            }
        )
        self.batches = 0
        self.loss_sum, self.loss_images = 0.0, 0


class Journal:
    """Writes the files of one branch but its summary; some full disks on the way are forgiven."""

    def __init__(self, folder: Path, fixed: dict[str, Any], device: torch.device, keep: int) -> None:
        """Start the clock of this call; `fixed` goes into every checkpoint unchanged, `keep` of which stay."""
        self._folder, self._fixed, self._device, self._keep = folder, fixed, device, keep
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._earlier: dict[str, Any] = {"wall_s": 0.0, "cpu_s": 0.0, "peak_bytes": 0}
        self._full_disks = 0
        self._begun = self._started
        self._writer = BackgroundWriter()
        self.saved_step = 0
        """Step of the newest checkpoint."""
        _forget_peak(device)

    def resume(self, state: dict[str, Any]) -> None:
        """Add up with what earlier calls took, by the state of a checkpoint."""
        # A checkpoint of an earlier version has no processor time, and a part of it would pass for the whole.
        self._earlier = {"cpu_s": None, **state["session"]}
        self.saved_step = state["position"]["step"]

    def save(self, position: Position, learner: Learner, *, tolerant: bool, in_background: bool = False) -> None:
        """Write a checkpoint; a full disk is an error where it is not tolerated or comes three times in a row.

        `in_background` returns when all is copied to host memory. What goes wrong is then raised by the next `check` or
        `save`, which waits for the one before.
        """
        self.finish_write()
        weights, others, rest = learner.tensors()
        state = {**self._fixed, **rest, "position": asdict(position), "session": self.session()}
        self._begun = time.monotonic()
        if in_background:
            weights, others = in_host_memory(weights), in_host_memory(others)
        step, keep = position.step, self._keep

        def write() -> None:
            save_checkpoint(self._folder, step, model=weights, optim=others, state=state, keep=keep)

        if in_background:
            self._writer.start(step, write)
            return
        with self._full_disk_forgiven(tolerant):
            write()
            self._count_saved(step)

    def check(self) -> None:
        """Raise what went wrong in the background, if anything has; waits for nothing."""
        if self._writer.is_done:
            self.finish_write()

    def finish_write(self) -> None:
        """Wait for the checkpoint that is being written; a full disk is treated as in `save`, and tolerated."""
        with self._full_disk_forgiven(tolerant=True):
            step = self._writer.finish()
            if step is not None:
                self._count_saved(step)

    def close(self) -> None:
        """Leave nothing behind that still writes."""
        self._writer.close()

    @property
    def minutes_since_checkpoint(self) -> float:
        """Minutes since the last checkpoint was begun, or since the start of this call."""
        return (time.monotonic() - self._begun) / 60

    def _count_saved(self, step: int) -> None:
        self.saved_step = step
        self._full_disks = 0

    def publish(self, history: list[dict[str, Any]], *, tolerant: bool) -> None:
        """Write `metrics.jsonl`, one line for each finished epoch; it holds no time and no name of a machine.

        The whole file is replaced, from rows that every checkpoint carries. So after a crash it has neither half a row
        nor a row of an epoch that is trained again. A full disk is treated as in `save`.
        """
        with self._full_disk_forgiven(tolerant):
            write_rows(self._folder / METRICS_NAME, history)

    def log_epoch(self, epoch: int, step: int, images: int, wall_s: float) -> None:
        """Append what this call trained of an epoch to `timing.jsonl`; losing a line there does no harm."""
        row = {
            "epoch": epoch,
            "step": step,
            "images": images,
            "wall_s": round(wall_s, 3),
            "images_per_s": round(images / max(wall_s, 1e-9), 1),
        }
        with suppress(OSError):
            append_line(self._folder / TIMING_NAME, json.dumps(row))

    def session(self) -> dict[str, Any]:
        """Return time over all calls, and peak memory: of the GPU where one is used, else of this process.

        `cpu_s` adds up the threads of this process, not its loader workers; other programs hardly change it.
        This is the only part of a checkpoint in which two equal trainings differ.
        """
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        wall = self._earlier["wall_s"] + time.monotonic() - self._started
        before = self._earlier["cpu_s"]
        cpu = None if before is None else before + time.process_time() - self._cpu_started
        return {"wall_s": wall, "cpu_s": cpu, "peak_bytes": max(peak, self._earlier["peak_bytes"])}

    @contextmanager
    def _full_disk_forgiven(self, tolerant: bool) -> Iterator[None]:
        try:
            yield
        except NoSpaceError as error:
            self._full_disks += 1
            if not tolerant or self._full_disks >= _MAX_FULL_DISKS:
                raise
            say(f"WARNING: {error}; training goes on, the next checkpoint tries again")


def _forget_peak(device: torch.device) -> None:
    """Start the peak memory anew: a process may have trained another branch before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # Of this process, by Linux; a system that refuses goes on to give the peak since the process started.
    with suppress(OSError):
        _CLEAR_REFS.write_text("5", encoding="ascii")
