"""Recipes on CIFAR-10, read from its lossless binary files.

bandwise run cifar10-smoke --out runs/cifar10-smoke
"""

from dataclasses import replace

from bandwise.config import DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import Recipe

_NOT_MEASURED = "not measured"


def sub4() -> Recipe:
    """Four bands of 16 by 16 pixels."""
    config = RunConfig(
        name="cifar10-sub4",
        data=DataConfig(data="cifar10"),
        split=SplitConfig(stride=2, transform="dct2d", canvas=32),
        network=NetworkConfig(model="resnet8", stem="dense"),
        training=TrainingConfig(crop=28, epochs=30, batch_size=128, lr=0.1, warmup_epochs=2, weight_decay=5e-4),
    )
    return Recipe(config=config, summary="Four dct2d bands of 16 px.", cost=_NOT_MEASURED, expected=_NOT_MEASURED)


def baseline() -> Recipe:
    """The same network on the whole image."""
    base = sub4().config
    config = replace(base, name="cifar10-baseline", split=replace(base.split, stride=1, transform="identity"))
    return Recipe(config=config, summary="One network on the whole image.", cost=_NOT_MEASURED, expected=_NOT_MEASURED)


def smoke() -> Recipe:
    """The four bands for one epoch of smaller crops, to see that everything works."""
    base = sub4().config
    config = replace(base, name="cifar10-smoke", training=replace(base.training, crop=24, epochs=1, warmup_epochs=0))
    return Recipe(
        config=config,
        summary="Four bands for one epoch: shows that everything works, not how well.",
        cost="under 3 min on two cores",
        expected="it finishes; accuracy after one epoch means nothing",
    )


RECIPES = (sub4, baseline, smoke)
