"""`python -m benchmarks infer`: four branches and their fusion, against the networks alone and the whole-image network.

These have made-up weights, which cost what trained ones cost; the cascade is measured on trained branches.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import TrainedBranch
from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.fusion.cascade import cascade_report, fitted_cascade
from bandwise.fusion.rules import unfitted
from bandwise.launch.cost import branch_cost
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.machine import keep_freed_memory
from bandwise.models.zoo import create_branch
from bandwise.runs.run import Run, create_run
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.modes import MODES, Mode
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode_canvas
from bandwise.sources.resolve import open_source
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from benchmarks.accelerator import infer_figures
from benchmarks.figures import Figure, Options, Reach
from benchmarks.measuring import Race, compare, race
from benchmarks.memory import peak_live_bytes

_STRIDE, _CANVAS, _CROP, _CLASSES, _CHANNELS = 2, 256, 224, 14, 3
_MODEL = "resnet10"
_SUM, _BASELINE = "sum of the networks", "whole image"
_REACH = Reach("<=", 1.05)
_NOTE = f"four {_MODEL} of 112 px and their fusion, from bytes of {_CANVAS} px; whole image: {_MODEL} of 224 px"


def measure(options: Options) -> list[Figure]:
    """Measure CPU time and memory of a batch and of a single picture, the modes in wall time, then a cascade."""
    figures: list[Figure] = []
    # As `bandwise predict` and `evaluate` do: for everybody here, and noise of a tenth less.
    with keep_freed_memory():
        for batch in (2,) if options.smallest else (32, 1):
            figures += _one_batch(batch, options)
    figures += cascade_figures(options)
    return figures + infer_figures(options.amount(64, 2))


def _one_batch(batch: int, options: Options) -> list[Figure]:
    # The colours innermost in memory, as decoded pictures have them.
    images = torch.randint(0, 256, (batch, _CANVAS, _CANVAS, _CHANNELS), dtype=torch.uint8).permute(0, 3, 1, 2)
    ensembles: dict[Mode, SpectralEnsemble] = {mode: ensemble(mode) for mode in MODES}
    networks = list(ensembles["sequential"].networks)
    ready = list(ensembles["sequential"].inputs(images))
    baseline, whole = network(_CROP), torch.randn(batch, _CROP, _CROP, _CHANNELS).permute(0, 3, 1, 2)
    # A single picture is classified some times over in a turn: a turn of 10 ms would be mostly noise.
    times, rounds = (1, options.rounds(15)) if batch > 1 else (options.amount(8, 1), options.rounds(15))
    contestants: dict[str, Callable[[], object]] = {
        "sequential": lambda: ensembles["sequential"](images),
        _SUM: lambda: [one(own) for one, own in zip(networks, ready, strict=True)],
        _BASELINE: lambda: baseline(whole),
    }
    modes: dict[str, Callable[[], object]] = {mode: lambda mode=mode: ensembles[mode](images) for mode in MODES}
    with torch.inference_mode():
        found = _race(contestants, times, rounds)
        figures = [_against(found, batch, peer, reach) for peer, reach in ((_SUM, _REACH), (_BASELINE, None))]
        stacked = _race({mode: modes[mode] for mode in ("sequential", "stacked")}, times, options.rounds(5))
        figures.append(_mode(stacked, batch, "stacked", "CPU time"))
        wall = {mode: modes[mode] for mode in ("sequential", "concurrent")}
        walls = _race(wall, times, options.rounds(9), clock=time.perf_counter)
        figures.append(_mode(walls, batch, "concurrent", "wall time"))
        figures += _memory(ensembles, networks, ready, images)
    return figures


def _race(
    contestants: Mapping[str, Callable[[], object]],
    times: int,
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> Race:
    """Return the seconds of one call; in a turn there are several."""

    def repeated(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: [work() for _ in range(times)]

    found = race({name: repeated(work) for name, work in contestants.items()}, rounds=rounds, clock=clock)
    return Race({name: [each / times for each in seconds] for name, seconds in found.seconds.items()})


def ensemble(mode: Mode, device: str = "cpu") -> SpectralEnsemble:
    """Return four branches with random weights."""
    split = SplitConfig(stride=_STRIDE, transform="dct2d", canvas=_CANVAS)
    count = _STRIDE**2
    branches = [
        TrainedBranch(
            network=network(_CROP // _STRIDE, seed=band),
            bands=(band,),
            split=split,
            crop=_CROP,
            digest="none",
            classes=tuple(map(str, range(_CLASSES))),
            channels=_CHANNELS,
            mean=np.full((1, _CHANNELS), 128.0),
            std=np.full((1, _CHANNELS), 64.0),
            state={},
        )
        for band in range(count)
    ]
    return SpectralEnsemble(branches, unfitted("mean", tuple(range(count))), mode).to(device)


def network(side: int, seed: int = 0) -> nn.Module:
    """Return a network with random weights, as `load_branch` returns one."""
    torch.manual_seed(seed)
    made = create_branch(_MODEL, num_classes=_CLASSES, in_channels=_CHANNELS, input_size=side)
    made = made.to(memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    return made.eval().requires_grad_(False)


def _against(found: Race, batch: int, peer: str, reach: Reach | None) -> Figure:
    return compare(
        found,
        f"infer/batch {batch}/sequential over {peer}",
        unit="ms a picture",
        factor=1e3 / batch,
        ours="sequential",
        over="sequential",
        under=peer,
        peers=(peer,),
        reach=reach,
        ratio_of=f"ours / {peer}",
        note=_NOTE,
    )


def _mode(found: Race, batch: int, mode: str, clock: str) -> Figure:
    return compare(
        found,
        f"infer/batch {batch}/{mode}, {clock}",
        unit="ms a picture",
        factor=1e3 / batch,
        ours=mode,
        over=mode,
        under="sequential",
        peers=("sequential",),
        reach=None,
        ratio_of="ours / sequential",
        note="concurrent in wall time, one thread a branch: other work on the machine shows in it"
        if clock != "CPU time"
        else "",
    )


def _memory(
    ensembles: dict[Mode, SpectralEnsemble], networks: list[nn.Module], ready: list[Tensor], images: Tensor
) -> Iterator[Figure]:
    """Yield what one call needs beyond weights and pictures, against one branch on inputs that are ready."""
    one = max(peak_live_bytes(lambda place=place: networks[place](ready[place])) for place in range(len(networks)))
    split = peak_live_bytes(lambda: list(ensembles["sequential"].inputs(images)))
    for mode in ("sequential", "stacked"):
        found = peak_live_bytes(lambda mode=mode: ensembles[mode](images))
        yield Figure(
            f"infer/batch {len(images)}/memory, {mode}",
            "MB",
            ours=found / 1e6,
            peers={"one branch": one / 1e6, "splitting the pictures": split / 1e6},
            ratio=found / (one + split),
            ratio_of="ours / the sum of the peers",
            note="memory beyond weights and pictures: bytes of tensors alive at one time",
        )


_CASCADE_TARGETS = (1.0, 0.99, 0.97, 0.9)
_CASCADE_TIMED = 0.97
_CASCADE_CANVAS, _CASCADE_CROP, _CASCADE_BATCH, _CASCADE_PICTURES = 72, 64, 32, 256
_ALL = "all branches"


def cascade_figures(options: Options) -> list[Figure]:
    """Train, fit cascades on the holdout, and measure them on the reported images, or the holdout if there are none."""
    run = _trained(options)
    store = open_store(run.store_path)
    splits = [split for split in ("val", "holdout") if store.rows(split)]
    sizes = {"channels": store.channels, "num_classes": len(store.classes)}
    macs = tuple(float(branch_cost(run.config, branch, **sizes).macs) for branch in range(len(run.groups)))
    figures: list[Figure] = []
    for target in _CASCADE_TARGETS[:1] if options.smallest else _CASCADE_TARGETS:
        figures += _kept_and_saved(cascade_report(run, target, macs), splits[0], target, sum(macs))
    return [*figures, *_cascade_time(run, _pictures(run, splits[0]), options)]


def _trained(options: Options) -> Run:
    config = RunConfig(
        name="cascade",
        data=DataConfig(data=options.data),
        split=SplitConfig(stride=2, transform="dct2d", canvas=_CASCADE_CANVAS),
        network=NetworkConfig(model="resnet8-slim", stem="dense"),
        training=TrainingConfig(
            crop=_CASCADE_CROP,
            epochs=options.amount(12, 1),
            batch_size=options.amount(_CASCADE_BATCH, 4),
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


def _cascade_time(run: Run, images: Tensor, options: Options) -> Iterator[Figure]:
    """Yield the CPU time of classifying real pictures, in batches and one by one."""
    whole = SpectralEnsemble.from_run(run.path)
    cascade = CascadedEnsemble(whole, fitted_cascade(run, _CASCADE_TIMED))
    for batch in options.amount(_CASCADE_BATCH, 2), 1:
        parts = images.split(batch) if batch > 1 else images[:_CASCADE_BATCH].split(1)
        contestants = {
            "cascade": lambda parts=parts: [cascade(part) for part in parts],
            _ALL: lambda parts=parts: [whole(part) for part in parts],
        }
        with torch.inference_mode():
            found = race(contestants, rounds=options.rounds(9))
        yield compare(
            found,
            f"infer/cascade {_CASCADE_TIMED:g}/CPU time, batch {batch}",
            unit="ms a picture",
            factor=1e3 / sum(len(part) for part in parts),
            ours="cascade",
            over="cascade",
            under=_ALL,
            peers=(_ALL,),
            reach=None,
            ratio_of=f"cascade / {_ALL}",
            note=f"resnet8-slim at {_CASCADE_CROP // 2} px; splitting the pictures is part of both",
        )


def _pictures(run: Run, split: str) -> Tensor:
    """Return pictures of the set on their canvas, uint8 (N, C, canvas, canvas), colours innermost in memory."""
    source = open_source(run.config.data)
    wanted = "val" if split == "val" else "train"
    canvases = []
    for entry in itertools.islice((each for each in source.entries() if each.split == wanted), _CASCADE_PICTURES):
        with suppress(BadImage):
            canvases.append(decode_canvas(source.read(entry.path), entry.path, source.channels, run.config.split)[0])
    return torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2)
