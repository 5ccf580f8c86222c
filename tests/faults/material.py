"""The tiny data sets, runs and networks of the fault tests, and what an undisturbed one ends with."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from tests.helpers.arrays import RandomSource
from tests.pictures import make_folder
from tests.training import tiny

from bandwise.checkpoints import branch as branch_module
from bandwise.config import FusionConfig, NetworkConfig, RunConfig, SplitConfig
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.launch.answers import write_missing_answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.runs import provenance
from bandwise.runs.run import Run, create_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset
from bandwise.training.trainer import train_branch

SOURCE = RandomSource(train=700, val=6)
SPLIT = SplitConfig(canvas=8, group_size=256, holdout=0.1)
SMALL_SOURCE = RandomSource(train=6, val=3)
SMALL_SPLIT = SplitConfig(canvas=8, holdout=0, bands="0,3")
EVERY_STEP = tiny.with_training(checkpoint_steps=1)
"""Two epochs of six steps with a checkpoint each; dropout, momentum, warm-up, moving average, mixing."""
ONE_EPOCH = tiny.with_training(epochs=1, warmup_epochs=0, checkpoint_steps=3)
"""One epoch of six steps with two checkpoints."""
BY_TIME = tiny.with_training(checkpoint_minutes=1e-9)
"""As `EVERY_STEP`, written by a thread."""
ONE_EPOCH_BY_TIME = tiny.with_training(epochs=1, warmup_epochs=0, checkpoint_minutes=1e-9)
RUN = RunConfig(
    name="tiny",
    split=SplitConfig(stride=2, transform="dct2d", canvas=24, holdout=0.2),
    branches="0;3",
    network=NetworkConfig(model="resnet8", stem="dense"),
    training=replace(tiny.CONFIG.training, crop=20, epochs=1, warmup_epochs=0, model_ema=False),
    fusion=FusionConfig(rule="geometric", p=0.5),
)


def use_tiny_network() -> None:
    """Put a network with dropout and batch statistics in the place of every named one; for a process of its own."""
    branch_module.create_branch = tiny.tiny_network


def forget_the_commit() -> None:
    """Leave git out of what a run says of itself: somebody may change a file of ours while the tests run."""
    provenance.source_commit = lambda: None


def split_small(out: Path) -> None:
    """Two groups of two bands, in milliseconds."""
    split_dataset(SMALL_SOURCE, SMALL_SPLIT, out)


def make_run(root: Path) -> Path:
    """Split, train, fuse and evaluate two branches of a tiny run below `root`; return the run folder."""
    pictures = make_folder(root / "pictures", classes=3, train=15, val=3, side=24)
    split_dataset(open_folder(pictures), RUN.split, root / "run" / "store")
    run = create_run(root / "run", RUN)
    for branch in range(len(run.groups)):
        train_branch(RUN, run.store_path, run.branch_folder(branch), branch)
    finish_run(run)
    return run.path


def finish_run(run: Run) -> None:
    """Write the logits, the fusion and the results of a trained run."""
    for branch in range(len(run.groups)):
        write_missing_answers(run, branch)
    fuse_run(run)
    evaluate_run(run)


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative name; what vanishes meanwhile is left out."""
    found: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            try:
                found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:
                continue
    return found


def final_names(files: dict[str, str]) -> dict[str, str]:
    """Leave out the lock, temporary files, and what is being deleted."""
    ours = (".tmp-", ".trash-", ".lock")
    return {name: digest for name, digest in files.items() if not any(p.startswith(ours) for p in name.split("/"))}


def commit_again(step: Path) -> None:
    """Write the record of a checkpoint for the files that are there now, as a stranger would."""
    names = ("model.safetensors", "optim.safetensors", "state.json")
    facts = {
        name: {"bytes": (step / name).stat().st_size, "sha256": sha256_bytes((step / name).read_bytes())}
        for name in names
    }
    commit = json.loads((step / "COMMIT.json").read_text())
    (step / "COMMIT.json").write_bytes(json_bytes({**commit, "files": facts}))
