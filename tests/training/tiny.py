"""What the tests of training share, also the ones that train in a process of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tests.pictures import make_folder
from torch import Tensor, nn

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.config import AugmentConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset

CANVAS = 24
CONFIG = RunConfig(
    split=SplitConfig(stride=2, transform="dct2d", canvas=CANVAS, holdout=0.2),
    training=TrainingConfig(
        crop=20, epochs=2, batch_size=6, lr=0.05, warmup_epochs=1, smoothing=0.1, model_ema=True, checkpoint_steps=4
    ),
    augment=AugmentConfig(hflip=0.5, mixup=0.2, cutmix=1.0),
)


def with_training(config: RunConfig = CONFIG, **changes: Any) -> RunConfig:
    """Return a configuration with other training values."""
    return replace(config, training=replace(config.training, **changes))


class TinyNetwork(nn.Module):
    """Dropout, so that the state of the random numbers matters, and batch statistics, which are no parameters."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.stem(images))


def tiny_network(model: str, *, num_classes: int, in_channels: int, input_size: int, **options: Any) -> nn.Module:
    """Stand in for `models.zoo.create_branch`."""
    network = TinyNetwork(in_channels, num_classes)
    network.eval()(torch.zeros(1, in_channels, input_size, input_size))
    return network.train()


def make_store(root: Path, config: RunConfig = CONFIG) -> Path:
    """Write a store of made-up pictures below `root` and return it."""
    pictures = make_folder(root / "pictures", classes=3, train=15, val=3, side=CANVAS)
    split_dataset(open_folder(pictures), config.split, root / "store")
    return root / "store"


def outcome(folder: Path) -> dict[str, Any]:
    """Return everything that an interrupted training must have in common with an undisturbed one.

    That is all of the last checkpoint but wall time and memory, and the bytes of metrics.jsonl.
    """
    checkpoint = read_checkpoint(steps(folder)[0])
    state = {key: value for key, value in checkpoint.state.items() if key != "session"}
    tensors = {**checkpoint.model, **checkpoint.optim}
    return {
        "state": state,
        "tensors": {name: (value.dtype, value.shape, value.numpy().tobytes()) for name, value in tensors.items()},
        "metrics": (folder / "metrics.jsonl").read_bytes(),
    }


class CrashError(Exception):
    """What a test raises in the middle of a training."""


def crash_at(*wanted: int):
    """Return an `on_step` that raises after certain steps."""

    def on_step(step: int) -> None:
        if step in wanted:
            raise CrashError(step)

    return on_step
