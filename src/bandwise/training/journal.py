"""What a branch writes beside its checkpoints: exact metrics, rough timings, and the cost of all calls together."""

import json
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bandwise.files.documents import write_rows
from bandwise.files.regular import append_line

METRICS_NAME = "metrics.jsonl"
TIMING_NAME = "timing.jsonl"


class Journal:
    """The files `metrics.jsonl` and `timing.jsonl` of one branch."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Start the clock of this call."""
        self._folder, self._device = folder, device
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._earlier = {"wall_s": 0.0, "cpu_s": 0.0, "peak_bytes": 0}

    def resume(self, session: dict[str, Any]) -> None:
        """Add what earlier calls took, as `session` returned it for the checkpoint."""
        # A checkpoint of an earlier version has no processor time, and a part of it would pass for the whole.
        self._earlier = {"cpu_s": None, **session}

    def publish(self, history: list[dict[str, Any]]) -> None:
        """Write `metrics.jsonl`, one line for each finished epoch; it holds no time and no name of a machine.

        The whole file is replaced, from rows that every checkpoint carries. So after a crash it has neither half a row
        nor a row of an epoch that is trained again.

        Raises:
            NoSpaceError: the disk is full.
        """
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
