"""`python -m benchmarks infer`: four branches and their fusion, against the networks alone and the whole-image network.

These have made-up weights, which cost what trained ones cost; the cascade is measured on trained branches.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import TrainedBranch
from bandwise.config import SplitConfig
from bandwise.fusion.rules import plain_mean
from bandwise.machine import keep_freed_memory
from bandwise.models.zoo import create_branch
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.modes import MODES, Mode
from benchmarks.acceleratorinfer import accelerator_figures
from benchmarks.figures import Figure, Reach
from benchmarks.infercascade import cascade_figures
from benchmarks.livebytes import peak_live_bytes
from benchmarks.options import Options
from benchmarks.timing import Race, compare, race

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
    return figures + accelerator_figures(options.amount(64, 2))


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
    return SpectralEnsemble(branches, plain_mean(tuple(range(count))), mode).to(device)


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
