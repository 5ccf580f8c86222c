"""Recipes on MNIST and Fashion-MNIST: one grey channel, 28 pixels.

bandwise run mnist-sub4 --out runs/mnist-sub4
"""

from dataclasses import replace

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import Recipe

_NOT_MEASURED = "not measured"


def mnist_sub4() -> Recipe:
    """Four bands of 14 by 14 pixels."""
    return _recipe("mnist", "sub4", stride=2, transform="dct2d")


def mnist_baseline() -> Recipe:
    """The same network on the whole image."""
    return _recipe("mnist", "baseline", stride=1, transform="identity")


def fashion_sub4() -> Recipe:
    """Four bands of 14 by 14 pixels."""
    return _recipe("fashion-mnist", "sub4", stride=2, transform="dct2d")


def fashion_baseline() -> Recipe:
    """The same network on the whole image."""
    return _recipe("fashion-mnist", "baseline", stride=1, transform="identity")


def _recipe(data: str, row: str, *, stride: int, transform: str) -> Recipe:
    base = RunConfig(
        name=f"{data}-{row}",
        data=DataConfig(data=data),
        split=SplitConfig(transform="dct2d", canvas=28),
        network=NetworkConfig(model="resnet8", stem="dense"),
        training=TrainingConfig(crop=24, epochs=5, batch_size=128, lr=0.1, warmup_epochs=1, weight_decay=5e-4),
        # A mirrored digit is no digit; clothes may be mirrored.
        augment=AugmentConfig(hflip=0.0 if data == "mnist" else 0.5),
    )
    config = replace(base, split=replace(base.split, stride=stride, transform=transform))
    summary = "One network on the whole image." if stride == 1 else "Four dct2d bands of 14 px, one channel."
    return Recipe(config=config, summary=summary, cost=_NOT_MEASURED, expected=_NOT_MEASURED)


RECIPES = (mnist_sub4, mnist_baseline, fashion_sub4, fashion_baseline)
