"""Transform, inference, memory and training on an accelerator; figures without numbers where there is none."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from bandwise.bands.module import BandSplit
from bandwise.bands.transform import SubbandTransform
from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.recipes.catalog import find_recipe
from bandwise.serving.modes import MODES
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.learner import Learner
from bandwise.training.memory import StepMemory
from bandwise.training.optim import create_optimizer
from benchmarks.figures import Figure, Reach

_TRANSFORM_REACH = Reach(">=", 0.6)
_TRANSFORM_REPEATS = 20


def transform_figures(sizes: Sequence[tuple[int, int]], count: int, device: str = "cuda") -> list[Figure]:
    """Measure float32 in, float32 out, for every (stride, side), `count` pictures at once."""
    if device == "cuda" and not torch.cuda.is_available():
        return [
            Figure(
                f"transform/s{stride}-{side}/accelerator", "GB/s", reach=_TRANSFORM_REACH, note="no accelerator here"
            )
            for stride, side in sizes
        ]
    return [_transform_figure(stride, side, count, torch.device(device)) for stride, side in sizes]


def _transform_figure(stride: int, side: int, count: int, device: torch.device) -> Figure:
    images = torch.rand((count, 3, side, side), device=device)
    target = torch.empty_like(images)
    module = BandSplit(SubbandTransform(stride, "dct2d"), quantized=False).to(device)
    with torch.no_grad():
        ours = _median_seconds(lambda: module(images), device)
        copying = _median_seconds(lambda: target.copy_(images), device)
    # Both read every value once and write as many.
    gigabytes = 2 * images.numel() * images.element_size() / 1e9
    return Figure(
        f"transform/s{stride}-{side}/accelerator",
        "GB/s",
        ours=gigabytes / ours,
        peers={"copy": gigabytes / copying},
        ratio=copying / ours,
        ratio_of="ours / copy",
        reach=_TRANSFORM_REACH,
        note="float32 in, float32 out",
    )


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of one call; the device is waited for before and after each."""
    found = []
    for number in range(_TRANSFORM_REPEATS + 3):
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


_INFER_ROUNDS, _INFER_WARM_UP = 20, 3


def infer_figures(batch: int) -> list[Figure]:
    """Measure every mode at one batch size, in wall time, the device waited for before and after."""
    titles = {mode: f"infer/batch {batch}/{mode}/accelerator" for mode in MODES}
    if not torch.cuda.is_available():
        return [Figure(title, "ms a picture", note="no accelerator here") for title in titles.values()]
    from benchmarks.infer import ensemble

    made = {mode: ensemble(mode, "cuda") for mode in MODES}
    canvas = made["sequential"].canvas
    images = torch.randint(0, 256, (batch, 3, canvas, canvas), dtype=torch.uint8, device="cuda")
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    with torch.inference_mode():
        for number in range(-_INFER_WARM_UP, _INFER_ROUNDS):
            for mode in MODES:
                torch.cuda.synchronize()
                started = time.perf_counter()
                made[mode](images)
                torch.cuda.synchronize()
                if number >= 0:
                    seconds[mode].append(time.perf_counter() - started)
    found = {mode: statistics.median(each) * 1e3 / batch for mode, each in seconds.items()}
    return [
        Figure(
            title,
            "ms a picture",
            ours=found[mode],
            peers={"sequential": found["sequential"]},
            ratio=found[mode] / found["sequential"],
            ratio_of="ours / sequential",
            note="float32",
        )
        for mode, title in titles.items()
    ]


_AGREE = Reach("<=", 0.1)
_MEMORY_CHANNELS = 3
_MEMORY_STEPS = 2
"""The state of the optimiser exists from the second step on."""


def memory_figures(
    configs: Mapping[str, RunConfig],
    formula: Callable[[RunConfig], StepMemory],
    batch: int,
    budget: float,
    classes: int,
    device: str = "cuda",
) -> Iterator[Figure]:
    """Measure recipes, float32, and compare with what the formula says without its allowance for the driver.

    Args:
        configs: recipes, by name.
        formula: the memory of a step of the first branch.
        batch: for the peak.
        budget: bytes for the largest batch, the allowance for the driver included.
        classes: outputs of the networks.
        device: `cpu` counts the tensors that are alive there, in place of what an allocator handed out.
    """
    for name, config in configs.items():
        titles = (f"memory/{name}/peak/accelerator", "GB"), (f"memory/{name}/largest batch/accelerator", "images")
        if device == "cuda" and not torch.cuda.is_available():
            yield from (Figure(*each, reach=_AGREE, note="no accelerator here") for each in titles)
            continue
        memory = formula(config)
        peak = step_bytes(config, batch, classes, device)
        allowed = budget - memory.context
        most = largest(lambda count, config=config, allowed=allowed: _fits(config, count, allowed, classes, device))
        found = (
            (None if peak is None else peak / 1e9, (memory.peak(batch) - memory.context) / 1e9),
            (most, memory.batch_ceiling(budget)),
        )
        for title, (ours, said) in zip(titles, found, strict=True):
            yield Figure(
                *title,
                ours=ours,
                peers={"formula": said},
                ratio=None if ours is None else abs(ours - said) / said,
                ratio_of="difference / formula",
                reach=_AGREE,
                note=f"float32, batch {batch} for the peak, a budget of {budget / 1e9:g} GB for the largest batch",
            )


def step_bytes(config: RunConfig, batch: int, classes: int, device: str = "cuda") -> int | None:
    """Return the most bytes that PyTorch's allocator handed out in training steps; None where they do not fit."""
    if device == "cpu":
        from benchmarks.memory import peak_live_bytes

        return peak_live_bytes(lambda: _steps(config, batch, classes, device))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        _steps(config, batch, classes, device)
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated()


def _steps(config: RunConfig, batch: int, classes: int, device: str) -> None:
    side = config.training.crop // config.split.stride
    network = build_network(config, num_classes=classes, bands=1, channels=_MEMORY_CHANNELS).to(device).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    optimizer = create_optimizer(network, config.training)
    images = torch.zeros(batch, _MEMORY_CHANNELS, side, side, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    for _ in range(_MEMORY_STEPS):
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()


def largest(fits: Callable[[int], bool]) -> int:
    """Return the largest number from 2 on that fits, 0 where 2 does not, by doubling and then halving.

    Args:
        fits: true up to some number and false above it.
    """
    low, high = 0, 2
    while fits(high):
        low, high = high, 2 * high
    while low and high - low > max(1, low // 64):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _fits(config: RunConfig, batch: int, allowed: float, classes: int, device: str) -> bool:
    found = step_bytes(config, batch, classes, device)
    return found is not None and found <= allowed


TRAIN_NAMES = ("resnet34", "resnet34-sub4", "resnet34-sub4-lean", "resnet34-sub16-lean", "resnet50")
_TRAIN_REACH = Reach(">=", 0.97)
_TRAIN_CLASSES, _TRAIN_CHANNELS = 1000, 3


@dataclass(frozen=True, slots=True)
class Steps:
    """How much is trained for a rate."""

    batch: int = 256
    warm_up: int = 5
    steps: int = 10
    rounds: int = 5


def train_figures(
    configs: Mapping[str, RunConfig] | None = None, device: str = "cuda", amount: Steps = Steps()
) -> Iterator[Figure]:
    """Measure rows in bf16, or float32 on a CPU, our step against a bare one."""
    for name, config in (configs or {name: find_recipe(name).config for name in TRAIN_NAMES}).items():
        title = f"train/{name}/accelerator"
        if device == "cuda" and not torch.cuda.is_available():
            yield Figure(title, "images/s", reach=_TRAIN_REACH, note="no accelerator here")
            continue
        precision = "bf16-mixed" if device == "cuda" else "32-true"
        config = replace(config, training=replace(config.training, precision=precision, device=device))
        ours, bare = _rates(config, amount)
        yield Figure(
            title,
            "images/s",
            ours=ours,
            peers={"bare loop": bare},
            ratio=ours / bare,
            ratio_of="ours / bare loop",
            reach=_TRAIN_REACH,
            note=f"{precision}, batch {amount.batch}, one branch, images on the device",
        )


def _rates(config: RunConfig, amount: Steps) -> tuple[float, float]:
    """Return images a second of our step and of a bare one, in turns."""
    device = choose_device(config.training.device)
    side = config.training.crop // config.split.stride
    images = torch.randn(amount.batch, _TRAIN_CHANNELS, side, side, device=device).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(_TRAIN_CLASSES, (amount.batch,), device=device)
    with reproducible(config.training, device):
        learner = Learner(
            config,
            0,
            num_classes=_TRAIN_CLASSES,
            bands=1,
            channels=_TRAIN_CHANNELS,
            steps_per_epoch=1000,
            device=device,
        )
        learner.train_mode()
        network = build_network(config, num_classes=_TRAIN_CLASSES, bands=1, channels=_TRAIN_CHANNELS).train()
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        optimizer = create_optimizer(network, config.training)

        def bare(_: int) -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.training.precision == "bf16-mixed"):
                loss = functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()

        steps = {"ours": lambda number: learner.learn(images, labels, number + 1), "bare": bare}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for round_ in range(-1, amount.rounds):
            for name, step in steps.items():
                for number in range(amount.warm_up if round_ < 0 else 0):
                    step(number)
                _wait(device)
                started = time.perf_counter()
                for number in range(amount.steps):
                    step(number)
                _wait(device)
                if round_ >= 0:
                    seconds[name].append(time.perf_counter() - started)
    ours, bare_s = (statistics.median(seconds[name]) for name in ("ours", "bare"))
    return amount.batch * amount.steps / ours, amount.batch * amount.steps / bare_s
