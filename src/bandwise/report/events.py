"""The metrics of runs for TensorBoard, converted from the files of the branches at any time, also while they train.

A training writes no such file itself: one that is resumed would write the rows of an epoch twice.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.atomic import explain_full_disk, require_writable
from bandwise.files.documents import read_rows
from bandwise.runs.run import Run, open_run

_FILES = "events.out.tfevents.*"


def write_events(runs: Sequence[Path], out: Path) -> list[Path]:
    """Write the epochs of every branch to `out/RUN/branch-00`, in the place of what was written there before.

    Returns the folders, of the branches that have finished an epoch.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UsageError(f"--tensorboard needs tensorboardX ({error}); pip install 'bandwise[tensorboard]'") from error
    opened = {path.resolve().name: open_run(path) for path in runs}
    if len(opened) < len(runs):
        raise UsageError(
            f"{len(runs)} runs lie in folders of {len(opened)} names; convert them into folders of their own"
        )
    require_writable(out)
    written = []
    with explain_full_disk(out):
        for name, run in opened.items():
            for metrics in _metrics(run):
                folder = out / name / metrics.parent.name
                for old in folder.glob(_FILES):
                    old.unlink()
                with SummaryWriter(str(folder), max_queue=0) as writer:
                    for tag, value, step in _scalars(metrics):
                        writer.add_scalar(tag, value, step, walltime=metrics.stat().st_mtime)
                written.append(folder)
    return written


def _metrics(run: Run) -> Iterator[Path]:
    for branch in range(len(run.groups)):
        if (path := run.branch_folder(branch) / "metrics.jsonl").exists():
            yield path


def _scalars(path: Path) -> Iterator[tuple[str, float, int]]:
    """Yield tag, value and optimiser step of what is known after each epoch."""
    try:
        for row in read_rows(path):
            holdout: dict[str, Any] = row.get("holdout") or {}
            named = {"loss/train": row["train_loss"], "loss/holdout": holdout.get("nll")}
            named |= {"accuracy/holdout": holdout.get("top1"), "lr": row["lr"], "epoch": row["epoch"]}
            for tag, value in named.items():
                if value is not None and math.isfinite(value):
                    yield tag, value, row["step"]
    except (KeyError, TypeError) as error:
        raise CorruptionError(f"{path} does not hold the rows of epochs: {error!r}") from error
