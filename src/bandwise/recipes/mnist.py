"""Recipes on MNIST and Fashion-MNIST: one grey channel, 28 pixels.

    bandwise run mnist-sub4 --out runs/mnist-sub4

The `fc4` and `fc8` recipes repeat the experiments that the authors of the method published for MNIST, with their fully
connected networks and their real-valued Fourier transform (98.88 % with four bands, 97.92 % with sixteen). Ours train
for 20 epochs where theirs trained for 100.
"""

from functools import partial
from typing import Any

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import Recipe, changed

_WHOLE_IMAGE = {"stride": 1, "transform": "identity"}
_CONNECTED: dict[str, tuple[str, dict[str, Any]]] = {
    "fc4": ("Four layers on the whole image.", _WHOLE_IMAGE),
    "fc8": ("Eight layers on the whole image.", _WHOLE_IMAGE),
    "fc8-sub4": ("Four bands of the real Fourier transform, eight layers each.", {"transform": "refft"}),
    "fc8-sub16": (
        "Sixteen bands of the real Fourier transform, eight layers each.",
        {"stride": 4, "transform": "refft"},
    ),
    "fc8-sub4-dct1d": ("Four bands of the one-dimensional DCT, eight layers each.", {"transform": "dct1d"}),
    "fc8-sub16-dct1d": (
        "Sixteen bands of the one-dimensional DCT, eight layers each.",
        {"stride": 4, "transform": "dct1d"},
    ),
}
"""Of every recipe with fully connected layers its summary and its split; its name begins with that of its network."""


def _residual(data: str, row: str) -> Recipe:
    """Return the four bands of 14 px, or the same network on the whole image."""
    config = RunConfig(
        name=f"{data}-{row}",
        data=DataConfig(data=data),
        split=SplitConfig(stride=2, transform="dct2d", canvas=28),
        network=NetworkConfig(model="resnet8", stem="dense"),
        training=TrainingConfig(crop=24, epochs=5, batch_size=128, lr=0.1, warmup_epochs=1, weight_decay=5e-4),
        # A mirrored digit is no digit; clothes may be mirrored.
        augment=AugmentConfig(hflip=0.0 if data == "mnist" else 0.5),
    )
    if row == "sub4":
        return Recipe(config=config, summary="Four dct2d bands of 14 px, one channel.")
    return Recipe(config=changed(config, split=_WHOLE_IMAGE), summary="One network on the whole image.")


def _connected(row: str) -> Recipe:
    summary, split = _CONNECTED[row]
    config = RunConfig(
        name=f"mnist-{row}",
        data=DataConfig(data="mnist"),
        split=SplitConfig(stride=2, transform="dct2d", canvas=28, holdout=0.1),
        network=NetworkConfig(model=row[: len("fc4")]),
        training=TrainingConfig(
            crop=28,
            epochs=20,
            batch_size=256,
            opt="adam",
            lr=1e-3,
            weight_decay=0.0,
            sched="step",
            decay_epochs=6,
        ),
        augment=AugmentConfig(hflip=0.0, random_crop=False),
    )
    return Recipe(config=changed(config, split=split), summary=summary)


RECIPES = {
    f"{data}-{row}": partial(_residual, data, row)
    for data in ("mnist", "fashion-mnist")
    for row in ("sub4", "baseline")
} | {f"mnist-{row}": partial(_connected, row) for row in _CONNECTED}
