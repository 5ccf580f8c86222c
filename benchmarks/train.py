"""`python -m benchmarks train`: our training loop against a bare one and timm's, then a branch against the whole image.

Every contestant has the same network, optimiser and batch and reads from memory. They take turns step by step, inside
one complete `train_branch`: what slows the machine for a while slows all of them.
"""

import itertools
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bandwise.config import AugmentConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from bandwise.training.feed import open_feed
from bandwise.training.identity import Branch
from bandwise.training.learner import Learner
from bandwise.training.trainer import train_branch
from benchmarks.accelerator import train_figures
from benchmarks.figures import Figure, Options, Reach, Spread
from benchmarks.measuring import Race
from benchmarks.trainpeers import Step, bare_loop, memory_of, timm_loop, timm_loop_on_tensors

_OURS, _BARE, _TIMM, _TENSORS, _WHOLE = "ours", "bare loop", "timm", "timm's steps alone", "whole image"
_CLASSES = 4
_FIRST_STEPS = 2
"""Of every epoch, not counted: buffers are allocated and kernels chosen in them, and the epoch before is closed."""
_WHOLE_EVERY = 3
"""The whole image takes four times as long, so it has a turn at every third step only."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is trained on."""

    model: str
    stem: str
    canvas: int
    crop: int
    batch: int
    steps: int


_FULL = Size("resnet10", "stock", 256, 224, 32, 8)
_LEAST = Size("resnet8", "dense", 36, 32, 8, 4)


def measure(options: Options) -> list[Figure]:
    """Measure the loops at stride 2, then one branch and all branches against the whole image."""
    size = _LEAST if options.smallest else _FULL
    source = _pictures(options.scratch / "pictures", size)
    branch, whole = (_prepared(source, size, stride, options.scratch) for stride in (2, 1))
    config, store = branch
    memory = memory_of(config, store)
    peers = {
        _BARE: bare_loop(config, memory),
        _TIMM: timm_loop(config, memory),
        _TENSORS: timm_loop_on_tensors(config, memory),
    }
    found, saving = _race(config, store, options.scratch / "branch", peers, _steps_of(*whole), options.rounds(6))
    note = (
        f"{size.model}, batch {size.batch}, float32, {size.crop // 2} px; CPU time an image, data in memory; all loops "
        "take turns in one process, so what our loop does with freed memory helps all of them"
    )
    names = (_BARE, _TIMM, _TENSORS)
    figures = [
        _rates(found, f"train/loop over {peer}", peer, names, reach, note)
        for peer, reach in ((_BARE, Reach(">=", 0.97)), (_TIMM, Reach(">=", 1.0)), (_TENSORS, None))
    ]
    against = f"whole image: the same network at {size.crop} px, the same loop"
    figures.append(_rates(found, "train/one branch over whole image", _WHOLE, (_WHOLE,), None, against))
    # All branches have one network and one size, so four times the time of one of them.
    four = Race({_OURS: [4 * each for each in found.seconds[_OURS]], _WHOLE: found.seconds[_WHOLE]})
    figures.append(_rates(four, "train/all four branches over whole image", _WHOLE, (_WHOLE,), None, against))
    return [*figures, _checkpoint_share(found, saving, config.training), *train_figures()]


def _rates(found: Race, name: str, peer: str, peers: tuple[str, ...], reach: Reach | None, note: str) -> Figure:
    rates = {each: Spread.of([1 / value for value in found.seconds[each]]) for each in (_OURS, *peers)}
    ratio = found.ratio(peer, _OURS)
    return Figure(
        name,
        "images/s",
        ours=rates[_OURS].median,
        peers={each: rates[each].median for each in peers},
        ratio=ratio.median,
        ratio_of=f"ours / {peer}",
        reach=reach,
        spread={**rates, "ratio": ratio},
        note=note,
    )


def _checkpoint_share(found: Race, saving: list[float], training: TrainingConfig) -> Figure:
    """Compare a checkpoint with the steps after which one is due."""
    due = TrainingConfig().checkpoint_steps
    steps = [due * training.batch_size * each for each in found.seconds[_OURS]]
    share = Spread.of([save / between for save, between in zip(saving, steps, strict=True)])
    spent = Spread.of(saving)
    return Figure(
        "train/checkpoints",
        "s a checkpoint",
        ours=spent.median,
        peers={f"{due} steps": statistics.median(steps)},
        ratio=share.median,
        ratio_of=f"a checkpoint / {due} steps",
        reach=Reach("<=", 0.01),
        spread={_OURS: spent, "ratio": share},
        note="weights and momentum written, read back and checked, in CPU time",
    )


def _race(
    config: RunConfig, store: Path, folder: Path, peers: Mapping[str, Step], whole: Iterator[None], rounds: int
) -> tuple[Race, list[float]]:
    """Train a branch for an epoch a round, and let everybody else take a step after each of its steps.

    The first steps of an epoch and the last, which saves a checkpoint, do not count.

    Returns:
        CPU seconds an image, the median over the steps of a round; and those that the checkpoint of a round took.
    """
    turns = _Turns({_WHOLE: lambda: next(whole), **peers})
    training = replace(config.training, epochs=rounds + 1)
    train_branch(replace(config, training=training), store, folder, 0, on_step=turns)
    steps = len(turns.rows) // training.epochs
    starts = range(steps, len(turns.rows), steps)
    epochs = [turns.rows[start + _FIRST_STEPS : start + steps - 1] for start in starts]
    found = Race(
        {
            name: [
                statistics.median(row[name] for row in epoch if name in row) / training.batch_size for epoch in epochs
            ]
            for name in (_OURS, *peers, _WHOLE)
        }
    )
    last = [turns.rows[start + steps - 1][_OURS] for start in starts]
    usual = [training.batch_size * each for each in found.seconds[_OURS]]
    return found, [max(0.0, one - step) for one, step in zip(last, usual, strict=True)]


class _Turns:
    """Called after each of our steps: notes what it took, and lets the others take theirs."""

    def __init__(self, others: Mapping[str, Step]) -> None:
        self.rows: list[dict[str, float]] = []
        """CPU seconds by name, a row a step."""
        self._others = others
        self._mark = time.process_time()

    def __call__(self, step: int) -> None:
        """Take the turns of one step; who comes first changes."""
        row = {_OURS: time.process_time() - self._mark}
        names = [name for name in self._others if name != _WHOLE or step % _WHOLE_EVERY == 0]
        turn = step % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.process_time()
            self._others[name]()
            row[name] = time.process_time() - started
        self.rows.append(row)
        self._mark = time.process_time()


def _steps_of(config: RunConfig, store_path: Path) -> Iterator[None]:
    """Yield after each step of another branch; the parts are those of `BranchLoop`, without files."""
    store, device = open_store(store_path), torch.device("cpu")
    feed = open_feed(Branch(config, 0, store, store_path, device))
    learner = Learner(
        config,
        0,
        num_classes=len(store.classes),
        bands=1,
        channels=store.channels,
        steps_per_epoch=feed.steps_per_epoch,
        device=device,
    )
    learner.train_mode()
    for epoch in itertools.count():
        for number, batch in enumerate(feed.batches(epoch, start=0), 1):
            images, targets = feed.inputs(batch, epoch)
            learner.learn(images, targets, number)
            yield


def _prepared(source: FolderSource, size: Size, stride: int, scratch: Path) -> tuple[RunConfig, Path]:
    split = SplitConfig(
        stride=stride,
        transform="dct2d" if stride > 1 else "identity",
        canvas=size.canvas,
        bands="0",
        holdout=0,
        holdout_min=0,
    )
    config = RunConfig(
        name=f"stride-{stride}",
        split=split,
        network=NetworkConfig(model=size.model, stem="dense" if size.stem == "dense" else "stock"),
        training=TrainingConfig(crop=size.crop, epochs=1, batch_size=size.batch, cache="ram", checkpoint_steps=10**6),
        augment=AugmentConfig(hflip=0.5),
    )
    out = scratch / f"store-{stride}"
    split_dataset(source, split, out)
    return config, out


def _pictures(root: Path, size: Size) -> FolderSource:
    """Write made-up pictures: smooth random colours, since what a network sees does not change its speed."""
    random = np.random.default_rng(0)
    for number in range((size.steps + 2) * size.batch):
        folder = root / "train" / f"class{number % _CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((size.canvas, size.canvas)).save(folder / f"{number:05d}.jpg", quality=80)
    return open_folder(root)
