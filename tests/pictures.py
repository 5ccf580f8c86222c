"""Small made-up photographs: classes differ in hue and in the direction of their stripes, so a network can learn."""

from pathlib import Path

import numpy as np
from PIL import Image


def make_picture(label: int, index: int, side: int = 48) -> np.ndarray:
    """Return a uint8 (side, side, 3) picture of class `label`; `index` varies phase and noise."""
    generator = np.random.default_rng([label, index])
    rows, columns = np.mgrid[0:side, 0:side]
    angle = np.pi * label / 3
    stripes = np.sin(0.6 * (rows * np.sin(angle) + columns * np.cos(angle)) + generator.uniform(0, 6))
    colour = np.eye(3)[label % 3] * 90 + 60
    picture = colour + 50 * stripes[..., None] + generator.normal(0, 8, (side, side, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_folder(root: Path, *, classes: int = 3, train: int = 20, val: int = 6, side: int = 48) -> Path:
    """Write an ImageFolder of PNG files and return its root."""
    for split, count, first in (("train", train, 0), ("val", val, 1000)):
        for label in range(classes):
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                Image.fromarray(make_picture(label, first + index, side)).save(folder / f"{index:03d}.png")
    return root
