"""The float transform on an accelerator against its own copy bandwidth; empty figures where there is none."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from bandwise.bands.module import BandSplit
from bandwise.bands.transform import SubbandTransform
from benchmarks.figures import Figure, Reach

_REACH = Reach(">=", 0.6)
_REPEATS = 20


def transform_figures(sizes: Sequence[tuple[int, int]], count: int, device: str = "cuda") -> list[Figure]:
    """Measure float32 in, float32 out, for every (stride, side), `count` pictures at once."""
    if device == "cuda" and not torch.cuda.is_available():
        return [
            Figure(f"transform/s{stride}-{side}/accelerator", "GB/s", reach=_REACH, note="no accelerator here")
            for stride, side in sizes
        ]
    return [_one(stride, side, count, torch.device(device)) for stride, side in sizes]


def _one(stride: int, side: int, count: int, device: torch.device) -> Figure:
    images = torch.rand((count, 3, side, side), device=device)
    target = torch.empty_like(images)
    module = BandSplit(SubbandTransform(stride, "dct2d"), quantized=False).to(device)
    with torch.no_grad():
        ours = _seconds(lambda: module(images), device)
        copying = _seconds(lambda: target.copy_(images), device)
    # Both read every value once and write as many.
    gigabytes = 2 * images.numel() * images.element_size() / 1e9
    return Figure(
        f"transform/s{stride}-{side}/accelerator",
        "GB/s",
        ours=gigabytes / ours,
        peers={"copy": gigabytes / copying},
        ratio=copying / ours,
        ratio_of="ours / copy",
        reach=_REACH,
        note="float32 in, float32 out",
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of one call; the device is waited for before and after each."""
    found = []
    for number in range(_REPEATS + 3):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        if number >= 3:
            found.append(time.perf_counter() - started)
    return statistics.median(found)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
