"""What a forked child does; every argument is a plain JSON value, every return value an exit code or None."""

import contextlib
import io
import os
import pickle
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.faults import breaks, fuzz, material
from tests.faults.shim import NOT_REACHED, Shim

import bandwise.commands.evaluate
import bandwise.commands.fuse
import bandwise.commands.predict
import bandwise.commands.split
import bandwise.commands.train
import bandwise.commands.verify
from bandwise import cli
from bandwise.runs.run import open_run
from bandwise.store.writing import conversion
from bandwise.store.writing.split import split_dataset
from bandwise.training.trainer import train_branch

# The commands are imported only so that no child has to.
__all__ = ["bandwise"]

CONFIGS = {
    "every_step": material.EVERY_STEP,
    "one_epoch": material.ONE_EPOCH,
    "by_time": material.BY_TIME,
    "one_epoch_by_time": material.ONE_EPOCH_BY_TIME,
}


def nothing() -> None:
    """Only start and end."""


def split(out: str, workers: int = 1, broken: str | None = None, small: str = "") -> None:
    """Split the random pictures into `out`."""
    breaks.apply(broken)
    if small:
        material.split_small(Path(out))
    else:
        split_dataset(material.SOURCE, material.SPLIT, Path(out), workers=workers)


def train(
    store: str,
    out: str,
    config: str,
    broken: str | None = None,
    stop_after: int = 0,
    pause_s: float = 0.0,
    announce: str | None = None,
) -> None:
    """Train branch 1 of the tiny network.

    Ask to stop, with a signal, after step `stop_after`; wait `pause_s` after each, and let the file `announce` grow by
    a byte.
    """
    breaks.apply(broken)
    material.use_tiny_network()

    def on_step(step: int) -> None:
        if announce is not None:
            with open(announce, "ab") as stream:
                stream.write(b".")
        if step == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(pause_s)

    train_branch(CONFIGS[config], Path(store), Path(out), 1, on_step=on_step)


def make_run(root: str) -> None:
    """Make a finished run."""
    material.forget_the_commit()
    material.make_run(Path(root))


def finish(run: str, store: str, broken: str | None = None) -> None:
    """Write logits, fusion and results of a trained run whose store lies elsewhere."""
    breaks.apply(broken)
    material.forget_the_commit()
    material.finish_run(replace(open_run(Path(run)), store_path=Path(store)))


def injected(inner: str, arguments: dict, root: str, operation: str, number: int, fault: str) -> int:
    """Run a job in which the n-th operation of a kind below `root` fails."""
    shim = Shim(Path(root), operation, number, fault)
    shim.install()
    try:
        return globals()[inner](**arguments) or 0
    finally:
        if not shim.reached:
            print(NOT_REACHED)


def without_preflight(inner: str, arguments: dict) -> int:
    """Run a job that does not ask before it starts whether the space will do."""
    conversion.require_space = lambda *_, **__: None
    return globals()[inner](**arguments) or 0


def fuzz_target(name: str, folder: str, count: int, seed: int, broken: str | None = None) -> int:
    """Fuzz one reader; print what went wrong, and return 3 if something did."""
    breaks.apply(broken)
    target = fuzz.TARGETS[name](Path(folder))
    refused, wrong = fuzz.fuzz(target, count, seed, Path(folder) / "input")
    print(f"{refused} of {count} refused", *wrong[:10], sep="\n")
    assert refused >= count * target.refused
    return 3 if wrong else 0


def load_carelessly(path: str) -> None:
    """Load a file with each loader that would execute it."""
    content = Path(path).read_bytes()
    for load in (
        pickle.loads,
        lambda raw: np.load(io.BytesIO(raw), allow_pickle=True),
        lambda raw: torch.load(io.BytesIO(raw), weights_only=False),
    ):
        with contextlib.suppress(Exception):
            load(content)


def command(argv: list[str], cwd: str, broken: str | None = None) -> int:
    """Run one command line in a folder; what is no documented error leaves a traceback in the log."""
    breaks.apply(broken)
    os.chdir(cwd)
    os.environ["BANDWISE_TRACEBACK"] = "1"
    return cli.main(argv)


def endless() -> None:
    """Never end, and do not listen to polite signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)
