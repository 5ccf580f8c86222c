"""Peak memory and the largest batch of real steps on an accelerator; empty figures where there is none."""

import gc
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.launch.plan import StepMemory
from bandwise.recipes.catalog import find_recipe
from bandwise.training.optim import create_optimizer
from benchmarks.figures import Figure, Reach

_AGREE = Reach("<=", 0.1)
_CHANNELS = 3
_STEPS = 2
"""The state of the optimiser exists from the second step on."""


def accelerator_figures(
    names: Sequence[str], formula: Callable[[RunConfig], StepMemory], batch: int, budget: float, classes: int
) -> list[Figure]:
    """Measure recipes, float32, and compare with what the formula says without its allowance for the driver.

    Args:
        names: recipes.
        formula: the memory of a step of the first branch.
        batch: for the peak.
        budget: bytes for the largest batch, the allowance for the driver included.
        classes: outputs of the networks.
    """
    figures = []
    for name in names:
        titles = (f"memory/{name}/peak/accelerator", "GB"), (f"memory/{name}/largest batch/accelerator", "images")
        if not torch.cuda.is_available():
            figures += [Figure(*each, reach=_AGREE, note="no accelerator here") for each in titles]
            continue
        config = find_recipe(name).config
        memory = formula(config)
        peak = step_bytes(config, batch, classes)
        allowed = budget - memory.context
        most = largest(lambda count, config=config, allowed=allowed: _fits(config, count, allowed, classes))
        found = (
            (None if peak is None else peak / 1e9, (memory.peak(batch) - memory.context) / 1e9),
            (most, memory.batch_ceiling(budget)),
        )
        figures += [
            Figure(
                *title,
                ours=ours,
                peers={"formula": said},
                ratio=None if ours is None else abs(ours - said) / said,
                ratio_of="difference / formula",
                reach=_AGREE,
                note=f"float32, batch {batch} for the peak, a budget of {budget / 1e9:g} GB for the largest batch",
            )
            for title, (ours, said) in zip(titles, found, strict=True)
        ]
    return figures


def step_bytes(config: RunConfig, batch: int, classes: int) -> int | None:
    """Return the most bytes that PyTorch's allocator handed out in training steps; None where they do not fit."""
    side = config.training.crop // config.split.stride
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        network = build_network(config, num_classes=classes, bands=1, channels=_CHANNELS).cuda().train()
        network = network.to(memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        optimizer = create_optimizer(network, config.training)
        images = torch.zeros(batch, _CHANNELS, side, side, device="cuda")
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(batch, dtype=torch.int64, device="cuda")
        for _ in range(_STEPS):
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated()


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


def _fits(config: RunConfig, batch: int, allowed: float, classes: int) -> bool:
    found = step_bytes(config, batch, classes)
    return found is not None and found <= allowed
