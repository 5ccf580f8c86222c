"""A small source of JPEGs of many shapes, and its store; also for tests that train in a process of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.pictures import make_picture
from tests.training.tiny import CONFIG

from bandwise.config import AugmentConfig, DataConfig, RunConfig
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset

SHAPES = ((24, 24), (40, 30), (30, 52), (64, 64), (25, 48))


def make_jpegs(root: Path, *, classes: int = 3, train: int = 11, val: int = 2) -> Path:
    """Write class folders of JPEGs, each cut to one of `SHAPES`, and return their root."""
    for split, count, first in (("train", train, 0), ("val", val, 1000)):
        for label in range(classes):
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = SHAPES[(index + label) % len(SHAPES)]
                picture = make_picture(label, first + index, 64)[:height, :width]
                Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{index:03d}.jpg", quality=92)
    return root


def image_config(root: Path, *, training: dict[str, Any] | None = None, **augment: Any) -> RunConfig:
    """Return the configuration of `tiny.CONFIG` with augmentation of the JPEGs below `root`."""
    options = {"at": "image", "hflip": 0.5, "aa": "rand-m9-mstd0.5-inc1", "mixup": 0.2, "cutmix": 1.0, "reprob": 0.3}
    return replace(
        CONFIG,
        data=DataConfig(data=str(root / "pictures")),
        training=replace(CONFIG.training, **{"loader_workers": 0, **(training or {})}),
        augment=AugmentConfig(**{**options, **augment}),
    )


def make_image_store(root: Path, config: RunConfig) -> Path:
    """Write the JPEGs and their store below `root`; return the store."""
    split_dataset(open_folder(make_jpegs(root / "pictures")), config.split, root / "store")
    return root / "store"
