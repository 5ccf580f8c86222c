"""Train one branch, from its own bands alone; continue exactly where an earlier call stopped."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from bandwise.checkpoints.folder import Checkpoint, newest_checkpoint, remove_trash
from bandwise.config import RunConfig, format_bands
from bandwise.config.configfile import differences
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.atomic import remove_temporaries, require_writable
from bandwise.files.locks import folder_lock
from bandwise.machine import keep_freed_memory
from bandwise.progress import say
from bandwise.runs.documents import SUMMARY_NAME, read_summary
from bandwise.runs.provenance import environment
from bandwise.signals import stop_requested
from bandwise.store.reading.store import open_store
from bandwise.training.classweights import AUTO, class_weights, read_class_weights
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.feed import require_augmentation
from bandwise.training.identity import (
    Branch,
    bands_of,
    check_store,
    describe_branch,
    describe_store,
    fingerprint,
    require_same_branch,
    require_same_store,
)
from bandwise.training.learner import choose_precision
from bandwise.training.loop import BranchLoop
from bandwise.training.optim import create_optimizer
from bandwise.training.start import require_same_start, starting_point


def require_settings(config: RunConfig, channels: int) -> None:
    """Refuse, before there is a store, what no training on images of so many channels could begin with here."""
    choose_precision(config.training, choose_device(config.training.device))
    create_optimizer(nn.Linear(1, 1), config.training)
    if config.training.class_weights not in ("", AUTO):
        read_class_weights(config.training.class_weights)
    require_augmentation(config, channels)


def train_branch(
    config: RunConfig,
    store_path: Path,
    folder: Path,
    branch: int,
    *,
    start: Path | None = None,
    on_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train one branch to its end, resuming from the newest valid checkpoint in `folder`.

    Interrupted anywhere and continued with the same versions and threads, a branch on a CPU gets the same weights,
    optimiser state, learning rates and metrics, bit for bit, as one that was never interrupted.

    Args:
        config: the run.
        store_path: a store that holds at least the bands of this branch.
        folder: the branch folder; made if need be.
        branch: number of the branch in `config.branches`.
        start: folder of the finished branch to start from, where `config.initial_branch` names another one.
        on_step: called with the number of steps done after each step, when its checkpoint, if due, is on disk.

    Returns:
        The content of `summary.json`; at once if the branch is finished.

    Raises:
        UsageError: configuration and store cannot be trained with.
        IncompatibleError: the folder, the store, the source or the initial weights belong to another configuration;
            what differs is listed.
        CorruptionError: the store is damaged, or there are checkpoints and none is valid.
        LockedError: another process trains this branch.
        NoSpaceError: checkpoints could not be written; the older ones are intact.
        DivergedError: the loss was not finite three times in a row.
        Preempted: SIGTERM, SIGINT or SIGUSR1 came; everything up to the last step is saved.
    """
    description = describe_branch(config, branch)
    config = config.of_branch(branch)
    device = choose_device(config.training.device)
    precision = choose_precision(config.training, device)
    require_writable(folder)
    with folder_lock(folder), stop_requested() as received:
        remove_temporaries(folder)
        remove_trash(folder)
        checkpoint = newest_checkpoint(folder)
        if (summary := _finished(folder, checkpoint, description)) is not None:
            return summary
        bands = bands_of(config, branch)
        store = open_store(store_path, bands)
        store.require_split(replace(config.split, bands=format_bands(bands)))
        check_store(store, config)
        own = Branch(config, branch, store, folder, device)
        initial = starting_point(config, branch, start, store, resumed=checkpoint is not None)
        started = initial and initial.to_dict()
        if checkpoint is not None:
            saved = checkpoint.state.get("initial_checkpoint")
            if initial is None and saved is not None and config.source_of(branch) is not None:
                # The branch it started from is not here; its weights are no longer needed.
                started = saved
            require_same_start(saved, started, str(folder))
        fixed = {
            **description,
            "config_sha256": fingerprint(description),
            "seeds": own.seeds,
            "store": describe_store(store, bands),
            # What the bits of a result depend on beside the configuration.
            "environment": {
                "threads": config.training.threads,
                "device": device.type,
                "versions": environment().versions,
                **({"precision": precision} if config.training.precision == "auto" else {}),
            },
            "initial_checkpoint": started,
        }
        weights = None
        if config.training.class_weights:
            weights = fixed["class_weights"] = class_weights(config.training.class_weights, store)
        if config.training.patience and not store.rows("holdout"):
            raise UsageError(
                "patience looks at the holdout, and this store has none; split with --holdout, or leave it"
            )
        load = None
        # What resumes has its weights from the checkpoint.
        if initial is not None and checkpoint is None:
            load = partial(initial.load, num_classes=len(store.classes), bands=bands, channels=store.channels)
        with reproducible(config.training, device), keep_freed_memory():
            loop = BranchLoop(own, fixed, received, load)
            if checkpoint is not None:
                require_same_store(checkpoint.state["store"], store, str(folder))
                if checkpoint.state.get("class_weights") != weights:
                    raise IncompatibleError(
                        f"{folder} was trained with other weights of the classes than {config.training.class_weights} "
                        "holds now; bring the old file back, or name another --out"
                    )
                for change in differences(checkpoint.state["environment"], fixed["environment"]):
                    say(f"note: resumed branch {branch} is not bit-exact: {change.replace(': ', ' ', 1)}")
                loop.resume(checkpoint)
            return loop.run(on_step or (lambda step: None))


def _finished(folder: Path, checkpoint: Checkpoint | None, description: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of a finished branch; remove one that a damaged last checkpoint has made untrue."""
    path = folder / SUMMARY_NAME
    if checkpoint is None:
        if path.exists():
            raise CorruptionError(
                f"{folder} has a {SUMMARY_NAME} but no checkpoint; copy its checkpoints back, or remove the folder"
            )
        return None
    require_same_branch(checkpoint.state, description, str(folder))
    if not path.exists():
        return None
    if checkpoint.state["position"]["step"] == checkpoint.state["total_steps"]:
        return read_summary(folder).to_dict()
    path.unlink()
    return None
