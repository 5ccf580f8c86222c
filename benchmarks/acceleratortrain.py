"""Training steps of the published rows on an accelerator; empty figures where there is none."""

import statistics
import time
from dataclasses import replace

import torch
from torch.nn import functional

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.recipes.catalog import find_recipe
from bandwise.training.determinism import reproducible
from bandwise.training.learner import Learner
from bandwise.training.optim import create_optimizer
from benchmarks.figures import Figure, Reach

_BASELINE = "resnet34"
_NAMES = (_BASELINE, "resnet34-sub4", "resnet34-sub4-lean", "resnet34-sub16", "resnet50")
_REACH = Reach(">=", 0.97)
_BATCH, _CLASSES, _CHANNELS, _WARM_UP, _STEPS, _ROUNDS = 256, 1000, 3, 5, 10, 5


def accelerator_figures() -> list[Figure]:
    """Measure each row in bf16, our step against a bare one, and against the whole image."""
    titles = {name: f"train/{name}/accelerator" for name in _NAMES}
    if not torch.cuda.is_available():
        return [Figure(title, "images/s", reach=_REACH, note="no accelerator here") for title in titles.values()]
    figures = []
    for name, title in titles.items():
        config = find_recipe(name).config
        config = replace(config, training=replace(config.training, precision="bf16-mixed", device="cuda"))
        ours, bare = _rates(config)
        figures.append(
            Figure(
                title,
                "images/s",
                ours=ours,
                peers={"bare loop": bare},
                ratio=ours / bare,
                ratio_of="ours / bare loop",
                reach=_REACH,
                note=f"bf16, batch {_BATCH}, one branch, images on the device",
            )
        )
    return figures


def _rates(config: RunConfig) -> tuple[float, float]:
    """Return images a second of our step and of a bare one, in turns."""
    device = torch.device("cuda", torch.cuda.current_device())
    side = config.training.crop // config.split.stride
    images = torch.randn(_BATCH, _CHANNELS, side, side, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(_CLASSES, (_BATCH,), device=device)
    with reproducible(config.training, device):
        learner = Learner(
            config, 0, num_classes=_CLASSES, bands=1, channels=_CHANNELS, steps_per_epoch=1000, device=device
        )
        learner.train_mode()
        network = build_network(config, num_classes=_CLASSES, bands=1, channels=_CHANNELS).to(device).train()
        network = network.to(memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        optimizer = create_optimizer(network, config.training)

        def bare(_: int) -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()

        steps = {"ours": lambda number: learner.learn(images, labels, number + 1), "bare": bare}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for round_ in range(-1, _ROUNDS):
            for name, step in steps.items():
                for number in range(_WARM_UP if round_ < 0 else 0):
                    step(number)
                torch.cuda.synchronize()
                started = time.perf_counter()
                for number in range(_STEPS):
                    step(number)
                torch.cuda.synchronize()
                if round_ >= 0:
                    seconds[name].append(time.perf_counter() - started)
    ours, bare_s = (statistics.median(seconds[name]) for name in ("ours", "bare"))
    return _BATCH * _STEPS / ours, _BATCH * _STEPS / bare_s
