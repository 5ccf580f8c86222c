"""A cascade of real branches: what it keeps of their accuracy, what work it saves, and whether the time shows it.

Four small branches are trained on the pictures of `--data` first, since the confidence of made-up weights says nothing.
"""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.fusion.cascade import cascade_report, fitted_cascade
from bandwise.launch.cost import branch_cost
from bandwise.launch.engines import train_branches
from bandwise.launch.fuse import fuse_run
from bandwise.runs.run import Run, create_run
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.sources.decoding.decode import BadImage, decode_canvas
from bandwise.sources.resolve import open_source
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.timing import compare, race

_TARGETS = (1.0, 0.99, 0.97, 0.9)
_TIMED = 0.97
_CANVAS, _CROP, _BATCH, _PICTURES = 72, 64, 32, 256
_ALL = "all branches"


def cascade_figures(options: Options) -> list[Figure]:
    """Train, fit cascades on the holdout, and measure them on the reported images, or the holdout if there are none."""
    run = _trained(options)
    store = open_store(run.store_path)
    splits = [split for split in ("val", "holdout") if store.rows(split)]
    sizes = {"channels": store.channels, "num_classes": len(store.classes)}
    macs = tuple(float(branch_cost(run.config, branch, **sizes).macs) for branch in range(len(run.groups)))
    figures: list[Figure] = []
    for target in _TARGETS[:1] if options.smallest else _TARGETS:
        figures += _kept_and_saved(cascade_report(run, target, macs), splits[0], target, sum(macs))
    return [*figures, *_time(run, _pictures(run, splits[0]), options)]


def _trained(options: Options) -> Run:
    config = RunConfig(
        name="cascade",
        data=DataConfig(data=options.data),
        split=SplitConfig(stride=2, transform="dct2d", canvas=_CANVAS),
        network=NetworkConfig(model="resnet8-slim", stem="dense"),
        training=TrainingConfig(
            crop=_CROP,
            epochs=options.amount(12, 1),
            batch_size=options.amount(_BATCH, 4),
            lr=0.1,
            warmup_epochs=options.amount(1, 0),
            smoothing=0.1,
            device="cpu",
        ),
        augment=AugmentConfig(),
    )
    run = create_run(options.scratch / "cascade", config)
    split_dataset(open_source(config.data), config.split, run.store_path)
    train_branches(run)
    fuse_run(run)
    return run


def _kept_and_saved(report: dict[str, Any], split: str, target: float, macs: float) -> Iterator[Figure]:
    """Yield one point of accuracy against cost; threshold and order are those of the holdout."""
    chosen, never = report["chosen"][split], report["curves"][split][-1]
    stops = ", ".join(f"{share:.0%}" for share in chosen["stopped"])
    note = f"threshold {report['threshold']:.2f} of the holdout, scored on {split}; stopped after each branch: {stops}"
    shares = {"accuracy": (100 * float(chosen["accuracy"]), 100 * float(never["accuracy"]))}
    # Branches without weight are in no cascade and not in the fusion of all.
    used = macs * len(report["order"]) / len(report["costs"])
    shares["MACs"] = used * chosen["cost"] / 1e6, used / 1e6
    for name, (ours, peer) in shares.items():
        yield Figure(
            f"infer/cascade {target:g}/{name}",
            "%" if name == "accuracy" else "million a picture",
            ours=ours,
            peers={_ALL: peer},
            ratio=ours / peer if peer else None,
            ratio_of=f"cascade / {_ALL}",
            note=note,
        )


def _time(run: Run, images: Tensor, options: Options) -> Iterator[Figure]:
    """Yield the CPU time of classifying real pictures, in batches and one by one."""
    whole = SpectralEnsemble.from_run(run.path)
    cascade = CascadedEnsemble(whole, fitted_cascade(run, _TIMED))
    for batch in options.amount(_BATCH, 2), 1:
        parts = images.split(batch) if batch > 1 else images[:_BATCH].split(1)
        contestants = {
            "cascade": lambda parts=parts: [cascade(part) for part in parts],
            _ALL: lambda parts=parts: [whole(part) for part in parts],
        }
        with torch.inference_mode():
            found = race(contestants, rounds=options.rounds(9))
        yield compare(
            found,
            f"infer/cascade {_TIMED:g}/CPU time, batch {batch}",
            unit="ms a picture",
            factor=1e3 / sum(len(part) for part in parts),
            ours="cascade",
            over="cascade",
            under=_ALL,
            peers=(_ALL,),
            reach=None,
            ratio_of=f"cascade / {_ALL}",
            note=f"resnet8-slim at {_CROP // 2} px; splitting the pictures is part of both",
        )


def _pictures(run: Run, split: str) -> Tensor:
    """Return pictures of the set on their canvas, uint8 (N, C, canvas, canvas), colours innermost in memory."""
    source = open_source(run.config.data)
    wanted = "val" if split == "val" else "train"
    canvases = []
    for entry in itertools.islice((each for each in source.entries() if each.split == wanted), _PICTURES):
        with suppress(BadImage):
            canvases.append(decode_canvas(source.read(entry.path), entry.path, source.channels, run.config.split)[0])
    return torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2)
