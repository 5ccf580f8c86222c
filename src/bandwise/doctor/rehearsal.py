"""A training of three steps, killed and resumed, run twice, and on two threads: what it proves is printed as JSON.

Run as a program, `python -m bandwise.doctor.rehearsal FOLDER [cuda]`: it imports torch once, and every training is a
forked process of its own that may be killed.
"""

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.checkpoints.folder import last_checkpoint
from bandwise.config import AugmentConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import BandwiseError
from bandwise.files.documents import json_bytes
from bandwise.sources.source import Entry
from bandwise.store.writing.split import split_dataset
from bandwise.training.trainer import train_branch

_SIDE = 32
_PICTURES = 96
_CONFIG = RunConfig(
    split=SplitConfig(stride=2, canvas=_SIDE, holdout=0.0, bands="0"),
    branches="0",
    network=NetworkConfig(model="resnet8", stem="dense"),
    training=TrainingConfig(
        crop=_SIDE,
        epochs=1,
        batch_size=32,
        lr=0.05,
        model_ema=True,
        device="cpu",
        checkpoint_steps=1,
        checkpoint_minutes=0.0,
    ),
    augment=AugmentConfig(hflip=0.5),
)
_STEPS = 3
_KILLED_AFTER = 2


@dataclass(frozen=True)
class NoiseSource:
    """Pictures of noise; nothing is read from anywhere."""

    root: Path | None = None
    name: str = "noise"
    classes: tuple[str, ...] = ("a", "b")
    channels: int = 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The kind says it all."""
        return {"kind": "noise"}

    def entries(self) -> list[Entry]:
        """List the pictures."""
        return [Entry(f"{number:03d}".encode(), number % 2, 3 * _SIDE**2, "train") for number in range(_PICTURES)]

    def read(self, path: bytes) -> np.ndarray:
        """Return the pixels, uint8 (side, side, 3)."""
        return np.random.default_rng(int(path)).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)


class RehearsalError(BandwiseError):
    """A training of the self-test ended otherwise than it must."""


def rehearse(folder: Path, device: Literal["cpu", "cuda"]) -> dict[str, bool]:
    """Train three steps on noise several times over in an empty folder, and compare the bits.

    `resume_exact`: killed after two steps and started again, it ends as one that was never killed. `repeatable`: so
    does a second one. On the CPU also `same_on_two_threads`: weights and optimiser state are as on one thread.
    """
    split_dataset(NoiseSource(), _CONFIG.split, folder / "store")
    one = replace(_CONFIG, training=replace(_CONFIG.training, device=device))
    _train(folder, "first", one)
    _train(folder, "killed", one, kill=True)
    _train(folder, "killed", one)
    _train(folder, "second", one)
    first = _everything(folder / "first")
    found = {
        "resume_exact": _everything(folder / "killed") == first,
        "repeatable": _everything(folder / "second") == first,
    }
    if device == "cpu":
        _train(folder, "threads", replace(one, training=replace(one.training, threads=2)))
        found["same_on_two_threads"] = _tensors(folder / "threads") == _tensors(folder / "first")
    return found


def _train(folder: Path, name: str, config: RunConfig, *, kill: bool = False) -> None:
    def on_step(step: int) -> None:
        if kill and step == _KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)

    code = _in_child(lambda: train_branch(config, folder / "store", folder / name, 0, on_step=on_step))
    if code != (-signal.SIGKILL if kill else 0):
        raise RehearsalError(f"the training {name!r} of the self-test ended with code {code}")


def _in_child(work: Callable[[], object]) -> int:
    """Return the exit code of a forked process that does the work, or minus the signal that ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _everything(folder: Path) -> str:
    """Return a digest of all that two equal trainings have in common: not of wall time and memory."""
    state = {key: value for key, value in last_checkpoint(folder).state.items() if key != "session"}
    metrics = (folder / "metrics.jsonl").read_bytes()
    return hashlib.sha256(_tensors(folder).encode() + json_bytes(state) + metrics).hexdigest()


def _tensors(folder: Path) -> str:
    checkpoint = last_checkpoint(folder)
    assert checkpoint.state["position"]["step"] == _STEPS
    digest = hashlib.sha256()
    for part in (checkpoint.model, checkpoint.optim):
        for name, tensor in sorted(part.items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(json.dumps(rehearse(Path(sys.argv[1]), "cuda" if sys.argv[2:] == ["cuda"] else "cpu")))
