"""Branches as processes of this machine, each with one accelerator where there are some.

On a terminal there is one display of how far they are, a bar for each.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import torch

from bandwise.config import TrainingConfig
from bandwise.errors import UsageError
from bandwise.machine import CORES, usable_cores
from bandwise.progress import PIPE, QUIET, bars
from bandwise.signals import launched_environment
from bandwise.training.determinism import choose_device

VISIBLE = "CUDA_VISIBLE_DEVICES"

_MOST_BYTES = 1 << 16


class Processes:
    """An engine: as many processes at once as it has slots, every one on the device that the fewest others use."""

    def __init__(self, slots: int, devices: Sequence[str] = ()) -> None:
        """Take devices by the names that `CUDA_VISIBLE_DEVICES` has for them; without any a process sees them all."""
        self.slots, self.devices = slots, tuple(devices)
        self._used: dict[str, list[_Process]] = {device: [] for device in devices}
        draws = sys.stderr.isatty() and not os.environ.get(QUIET)
        self._bars = Bars() if draws else None

    def start(self, command: list[str]) -> "_Process":
        """Start a command that ends as for SIGTERM when this process is gone."""
        environment = {**launched_environment(), CORES: str(max(1, usable_cores() // self.slots))}
        device = None
        if self._used:
            self._used = {name: [job for job in jobs if job.poll() is None] for name, jobs in self._used.items()}
            device = min(self._used, key=lambda name: len(self._used[name]))
            environment[VISIBLE] = device
        job = _Process(command, environment, self._bars)
        if device is not None:
            self._used[device].append(job)
        return job


class Bars:
    """Reads what processes say of their progress, and draws a bar for each while any of them runs."""

    def __init__(self) -> None:
        self._display: Any = None
        self._rest: dict[int, bytes] = {}
        self._tasks: dict[int, Any] = {}

    def open(self) -> tuple[int, int]:
        """Return the ends of a new pipe: where this process reads, and where another is to write."""
        reads, writes = os.pipe()
        os.set_blocking(reads, False)
        self._rest[reads] = b""
        if self._display is None:
            self._display = bars()
            self._display.start()
            # The cursor is hidden while it draws.
            atexit.register(self._display.stop)
        return reads, writes

    def look(self, reads: int) -> None:
        """Draw what has come from one process."""
        with contextlib.suppress(BlockingIOError):
            *lines, self._rest[reads] = (self._rest[reads] + os.read(reads, _MOST_BYTES)).split(b"\n")
            if lines:
                self._draw(reads, lines[-1])

    def close(self, reads: int) -> None:
        """Take the bar of a process that has ended away; the display ends with the last of them."""
        os.close(reads)
        del self._rest[reads]
        if (task := self._tasks.pop(reads, None)) is not None:
            self._display.remove_task(task)
        if not self._rest:
            atexit.unregister(self._display.stop)
            self._display.stop()
            self._display = None

    def _draw(self, reads: int, line: bytes) -> None:
        # A line may be torn where the pipe was full.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            facts = {"description": found["what"], "completed": found["done"], "total": found["total"]}
            if reads not in self._tasks:
                self._tasks[reads] = self._display.add_task("", rate="")
            self._display.update(self._tasks[reads], rate=found["rate"], **facts)


class _Process:
    def __init__(self, command: list[str], environment: dict[str, str], bars: "Bars | None") -> None:
        self._bars, self._reads, writes = bars, -1, -1
        if bars is not None:
            self._reads, writes = bars.open()
            environment = {**environment, PIPE: str(writes)}
        # A session of its own: Ctrl-C reaches the launcher only, which then stops the branches in order. Nothing is
        # ever written to the pipe; its end tells the branch that the launcher is gone.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            pass_fds=() if bars is None else (writes,),
        )
        if bars is not None:
            os.close(writes)

    def poll(self) -> int | None:
        code = self._process.poll()
        if self._bars is not None and self._reads >= 0:
            self._bars.look(self._reads)
            if code is not None:
                self._bars.close(self._reads)
                self._reads = -1
        if code is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)


def processes_for(
    training: TrainingConfig, slots: int | None = None, devices: str | None = None, per_device: int | None = None
) -> Processes:
    """Return the engine that trains branches on this machine.

    Args:
        training: how a branch is trained; its device and its threads count.
        slots: branches at once; when None, `per_device` on every device, or as many as the cores allow.
        devices: those to use, such as "0,1" as torch numbers them; all that are visible when None or "all".
        per_device: branches at once on a device, 1 when None.
    """
    if per_device is not None and per_device < 1:
        raise UsageError(f"per_device is {per_device}; it must be at least 1")
    if choose_device(training.device).type == "cpu":
        if devices is not None or per_device is not None:
            raise UsageError(
                "--devices and --per-device are for accelerators, and the branches are trained on the CPU here "
                f"(device {training.device}); leave them out, and say with --jobs or --slots how many at once"
            )
        return Processes(slots or max(1, usable_cores() // training.threads))
    chosen = _chosen("all" if devices is None else devices, visible_devices())
    return Processes(slots or len(chosen) * (per_device or 1), chosen)


def processes_or_none(
    training: TrainingConfig,
    branches: int,
    slots: int | None = None,
    devices: str | None = None,
    per_device: int | None = None,
) -> Processes | None:
    """Return what `processes_for` does; None where this process can train the branches in turn just as well."""
    engine = processes_for(training, slots, devices, per_device)
    return None if min(branches, engine.slots) == 1 and devices is None else engine


def visible_devices() -> list[str]:
    """Return the accelerators that torch sees, by the names that `CUDA_VISIBLE_DEVICES` has for them."""
    count = torch.cuda.device_count()
    named = [word.strip() for word in os.environ.get(VISIBLE, "").split(",") if word.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def _chosen(text: str, visible: list[str]) -> list[str]:
    if text == "all":
        return visible
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and int(word) < len(visible))]
    if wrong or len(set(words)) < len(words):
        raise UsageError(
            f"--devices {text!r}: it can be all, or different numbers from 0 to {len(visible) - 1} with commas between "
            "them, as torch numbers the devices that it sees"
        )
    return [visible[int(word)] for word in words]
