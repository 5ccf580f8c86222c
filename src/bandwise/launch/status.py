"""Where the branches of a run stand, read from their folders alone: locks, checkpoints, metrics.

It needs no server and no process to ask, so it says the same on every machine that sees the folder. Nothing is held or
written, and a file that is replaced this moment is read again at the next look.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.documents import read_json, read_rows
from bandwise.files.locks import LOCK_NAME, SILENT_S
from bandwise.runs.documents import SUMMARY_NAME, read_summary
from bandwise.runs.run import Run
from bandwise.store.reading.store import open_store

State = Literal["waiting", "training", "silent", "stopped", "finished"]
"""Silent: locked, and without a sign of life for a minute. Stopped: there is a checkpoint to go on from."""


@dataclass(frozen=True, slots=True)
class BranchStatus:
    """Where one branch stands."""

    branch: int
    bands: tuple[int, ...]
    state: State
    step: int
    """Of the newest checkpoint."""
    total_steps: int | None
    """None before the first checkpoint."""
    epochs: int
    """Finished and evaluated."""
    holdout_top1: float | None
    """After the last of them."""
    images_per_s: float | None
    left_s: float | None
    """Until the end at that rate, while it is trained."""
    last_sign_s: float | None
    """Since it wrote something."""
    host: str | None
    """The machine that trains it."""


def run_status(run: Run) -> list[BranchStatus]:
    """Return where every branch stands."""
    return [_branch_status(run, branch) for branch in range(len(run.groups))]


def train_next(run: Run, found: Sequence[BranchStatus]) -> int | None:
    """Return the branch to train next of those that wait or were stopped; None where there is none.

    It is the one that others start from, else the one whose bands vary most over the training images: these have the
    most energy, and what a band adds to a fusion follows it. Where the store is not here the first one counts.
    """
    idle = [each for each in found if each.state in ("waiting", "stopped", "silent")]
    energy: dict[int, float] = {}
    with suppress(OSError, UsageError, CorruptionError):
        store = open_store(run.store_path, ())
        energy = {each.branch: float((store.std(each.bands) ** 2).sum()) for each in idle}
    source = run.config.initial_branch
    idle.sort(key=lambda each: (each.branch != source, -energy.get(each.branch, 0.0)))
    return idle[0].branch if idle else None


def _branch_status(run: Run, branch: int) -> BranchStatus:
    folder, now = run.branch_folder(branch), time.time()
    checkpoint, saved_at = _newest(folder)
    position = checkpoint.get("position", {})
    rows = _metrics(folder)
    holder, beat = _lock(folder)
    finished = (folder / SUMMARY_NAME).exists()
    step, total = position.get("step", 0), checkpoint.get("total_steps")
    spent = checkpoint.get("session", {}).get("wall_s")
    rate = step / spent if step and spent else None
    training = not finished and beat is not None and now - beat < SILENT_S
    left = None
    if training and rate and total is not None and saved_at is not None:
        # What was trained since the checkpoint is not known, but the time since then is.
        left = max(0.0, (total - step) / rate - (now - saved_at))
    if finished:
        with suppress(CorruptionError):
            step = total = read_summary(folder).steps
    signs = [moment for moment in (beat, saved_at) if moment is not None]
    holdout = rows[-1]["holdout"] if rows else None
    return BranchStatus(
        branch=branch,
        bands=run.groups[branch],
        state=_state(finished=finished, locked=beat is not None, training=training, saved=bool(checkpoint)),
        step=step,
        total_steps=total,
        epochs=len(rows),
        holdout_top1=None if holdout is None else holdout["top1"],
        images_per_s=None if rate is None else round(rate * run.config.training.batch_size, 1),
        left_s=None if left is None else round(left),
        last_sign_s=round(now - max(signs)) if signs else None,
        host=holder if training else None,
    )


def _state(*, finished: bool, locked: bool, training: bool, saved: bool) -> State:
    if finished:
        return "finished"
    if training:
        return "training"
    if locked:
        return "silent"
    return "stopped" if saved else "waiting"


def _newest(folder: Path) -> tuple[dict[str, Any], float | None]:
    """Return the state of the newest checkpoint that can be read, and when it was written."""
    for path in sorted(folder.glob("step-*/state.json"), reverse=True):
        with suppress(OSError, CorruptionError):
            return read_json(path), path.stat().st_mtime
    return {}, None


def _metrics(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_rows(folder / "metrics.jsonl")
    except (OSError, CorruptionError):
        return []


def _lock(folder: Path) -> tuple[str | None, float | None]:
    """Return the machine that holds the lock of a branch, and its last sign of life."""
    path, holder = folder / LOCK_NAME, None
    try:
        beat = path.stat().st_mtime
    except OSError:
        return None, None
    with suppress(OSError, ValueError):
        holder = json.loads(path.read_bytes())
    return holder.get("host") if isinstance(holder, dict) else None, beat
