"""`bandwise bench infer`: four branches and their fusion, against the networks alone and the whole-image network."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.bench.acceleratorinfer import accelerator_figures
from bandwise.bench.figures import Figure, Reach
from bandwise.bench.livebytes import peak_live_bytes
from bandwise.bench.options import Options
from bandwise.bench.timing import Race, compare, race
from bandwise.checkpoints.branch import TrainedBranch
from bandwise.config import SplitConfig
from bandwise.fusion.rules import plain_mean
from bandwise.models.zoo import create_branch
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.modes import MODES, Mode

_STRIDE, _CANVAS, _CROP, _CLASSES, _CHANNELS = 2, 256, 224, 14, 3
_MODEL = "resnet10"
_SUM, _BASELINE = "sum of the networks", "whole image"
_REACH = Reach("<=", 1.05)
_NOTE = f"four {_MODEL} of 112 px and their fusion, from bytes of {_CANVAS} px; whole image: {_MODEL} of 224 px"


def measure(options: Options) -> list[Figure]:
    """Measure CPU time and memory of a batch and of a single picture, then the modes in wall time."""
    figures: list[Figure] = []
    for batch in (2,) if options.smallest else (32, 1):
        figures += _one_batch(batch, options)
    return figures + accelerator_figures(options.amount(64, 2))


def _one_batch(batch: int, options: Options) -> list[Figure]:
    images = torch.randint(0, 256, (batch, _CHANNELS, _CANVAS, _CANVAS), dtype=torch.uint8)
    ensembles: dict[Mode, SpectralEnsemble] = {mode: ensemble(mode) for mode in MODES}
    networks = list(ensembles["sequential"].networks)
    ready = list(ensembles["sequential"].inputs(images))
    baseline, whole = network(_CROP), torch.randn(batch, _CROP, _CROP, _CHANNELS).permute(0, 3, 1, 2)
    contestants: dict[str, Callable[[], object]] = {
        "sequential": lambda: ensembles["sequential"](images),
        "stacked": lambda: ensembles["stacked"](images),
        _SUM: lambda: [one(own) for one, own in zip(networks, ready, strict=True)],
        _BASELINE: lambda: baseline(whole),
    }
    rounds = options.rounds(9 if batch > 1 else 41)
    with torch.inference_mode():
        found = race(contestants, rounds=rounds)
        figures = [_against(found, batch, peer, reach) for peer, reach in ((_SUM, _REACH), (_BASELINE, None))]
        figures.append(_mode(found, batch, "stacked", "CPU time"))
        walls = race(
            {mode: lambda mode=mode: ensembles[mode](images) for mode in ("sequential", "concurrent")},
            rounds=rounds,
            clock=time.perf_counter,
        )
        figures.append(_mode(walls, batch, "concurrent", "wall time"))
        figures += _memory(ensembles, networks, ready, images)
    return figures


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
