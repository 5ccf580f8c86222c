"""How many images a second one branch trains on this machine: a few real steps on random images."""

import time

import torch
from torch.nn import functional

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.launch.cost import train_crop
from bandwise.training.optim import create_optimizer

_WARM_UP_STEPS = 1
_STEPS = 3


def images_per_second(config: RunConfig, branch: int, *, channels: int, num_classes: int, batch: int) -> float:
    """Time forward, backward and optimiser step of one branch, in float32, without reading or augmenting images.

    Args:
        config: the run; `training.device` and `training.threads` count.
        branch: which branch.
        channels: colour channels of one band.
        num_classes: outputs of the classifier.
        batch: images of a step, at least 2 for batch statistics.

    Raises:
        UsageError: there is no such network or optimiser, or the network does not take that size.
    """
    chosen = config.training.device
    device = torch.device("cuda" if chosen != "cpu" and torch.cuda.is_available() else "cpu")
    bands = len(config.groups()[branch])
    side = train_crop(config) // config.split.stride
    threads = torch.get_num_threads()
    torch.set_num_threads(config.training.threads)
    try:
        network = build_network(config, num_classes=num_classes, bands=bands, channels=channels).to(device)
        optimizer = create_optimizer(network, config.training)
        images = torch.randn(batch, bands * channels, side, side, device=device)
        labels = torch.randint(num_classes, (batch,), device=device)
        started = 0.0
        for step in range(_WARM_UP_STEPS + _STEPS):
            if step == _WARM_UP_STEPS:
                _wait(device)
                started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        _wait(device)
        return batch * _STEPS / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
