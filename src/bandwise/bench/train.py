"""`bandwise bench train`: our training loop against a bare one and timm's, then a branch against the whole image.

Every contestant has the same network, optimiser and batch and reads from memory. Its first steps are left out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bandwise.bench.acceleratortrain import accelerator_figures
from bandwise.bench.figures import Figure, Reach, Spread
from bandwise.bench.options import Options
from bandwise.bench.timing import Race
from bandwise.bench.trainpeers import bare_loop, memory_of, timm_loop, timm_loop_on_tensors
from bandwise.config import AugmentConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.sources.folder import FolderSource
from bandwise.store.split import split_dataset
from bandwise.training.trainer import train_branch

_BARE, _TIMM, _TENSORS = "bare loop", "timm", "timm's steps alone"
_CLASSES = 4
_SKIPPED = 2
"""Steps before the clock starts: buffers are allocated and kernels chosen in them."""

Loop = Callable[[], float]
"""Trains and returns the CPU seconds of an image."""


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
    contestants: dict[str, Loop] = {
        "ours": _ours(config, store, options.scratch),
        _BARE: lambda: bare_loop(config, memory, _SKIPPED),
        _TIMM: lambda: timm_loop(config, memory, _SKIPPED),
        _TENSORS: lambda: timm_loop_on_tensors(config, memory, _SKIPPED),
        "whole image": _ours(*whole, options.scratch),
    }
    found = _take_turns(contestants, options.rounds(5))
    note = f"{size.model}, batch {size.batch}, float32, {size.crop // 2} px; CPU time, data in memory"
    peers = (_BARE, _TIMM, _TENSORS)
    figures = [
        _rates(found, f"train/loop over {peer}", peer, peers, reach, note)
        for peer, reach in ((_BARE, Reach(">=", 0.97)), (_TIMM, Reach(">=", 1.0)), (_TENSORS, None))
    ]
    against = f"whole image: the same network at {size.crop} px, the same loop"
    figures.append(_rates(found, "train/one branch over whole image", "whole image", ("whole image",), None, against))
    # All branches have one network and one size, so four times the time of one of them.
    four = Race({"ours": [4 * each for each in found.seconds["ours"]], "whole image": found.seconds["whole image"]})
    figures.append(
        _rates(four, "train/all four branches over whole image", "whole image", ("whole image",), None, against)
    )
    return figures + accelerator_figures()


def _rates(found: Race, name: str, peer: str, peers: tuple[str, ...], reach: Reach | None, note: str) -> Figure:
    rates = {each: Spread.of([1 / value for value in found.seconds[each]]) for each in ("ours", *peers)}
    ratio = found.ratio(peer, "ours")
    return Figure(
        name,
        "images/s",
        ours=rates["ours"].median,
        peers={each: rates[each].median for each in peers},
        ratio=ratio.median,
        ratio_of=f"ours / {peer}",
        reach=reach,
        spread={**rates, "ratio": ratio},
        note=note,
    )


def _take_turns(contestants: dict[str, Loop], rounds: int) -> Race:
    """Run every loop once a round; each returns its own seconds, without its start."""
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            value = contestants[name]()
            if number >= 0:
                seconds[name].append(value)
    return Race(seconds)


def _ours(config: RunConfig, store: Path, scratch: Path) -> Loop:
    """Return a complete `train_branch`, timed from step to step without the last, which saves a checkpoint."""
    number = iter(range(1_000_000))

    def run() -> float:
        marks: list[float] = []
        train_branch(
            config,
            store,
            scratch / f"branch-{config.name}-{next(number)}",
            0,
            on_step=lambda _: marks.append(time.process_time()),
        )
        steps = marks[_SKIPPED - 1 : -1]
        return (steps[-1] - steps[0]) / (len(steps) - 1) / config.training.batch_size

    return run


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
    return FolderSource(root)
