"""Recipes on `photos`: 1,393 photographs of groceries, 14 classes; small enough for two CPU cores.

    bandwise run photos-sub4 --out runs/photos-sub4

The controls are the same code with other values: one network on the whole image, an ensemble of four of them, the
low-resolution band alone four times, the phases without a transform, all bands in one network.
"""

from dataclasses import replace

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import Recipe


def sub4() -> Recipe:
    """Four bands, four networks."""
    config = RunConfig(
        name="photos-sub4",
        data=DataConfig(data="photos"),
        split=SplitConfig(stride=2, transform="dct2d", canvas=256),
        network=NetworkConfig(model="resnet10", stem="stock"),
        training=TrainingConfig(crop=224, epochs=16, batch_size=32, lr=0.1, warmup_epochs=2, smoothing=0.1),
        augment=AugmentConfig(),
    )
    return Recipe(config=config, summary="Four dct2d bands, one small ResNet each.")


def baseline() -> Recipe:
    """The same network once, on the whole image."""
    return _control(
        "photos-baseline",
        "One network on the whole image: the same network and recipe.",
        stride=1,
        transform="identity",
    )


def ensemble4() -> Recipe:
    """Four seeds of the baseline."""
    return _control(
        "photos-ensemble4",
        "Four seeds of the whole-image network.",
        branches="0;0;0;0",
        stride=1,
        transform="identity",
    )


def lowres4() -> Recipe:
    """Four seeds of branch 0."""
    return _control("photos-lowres4", "Four seeds of the low-resolution band.", branches="0;0;0;0")


def polyphase4() -> Recipe:
    """The phases as they are."""
    return _control("photos-polyphase4", "The four phases without a transform.", transform="identity")


def joint4() -> Recipe:
    """One network that sees all bands."""
    return _control("photos-joint4", "All four bands in one network.", branches="0,1,2,3")


def context4() -> Recipe:
    """Each branch sees band 0 too."""
    return _control("photos-context4", "Every branch sees the low band as context.", branches="0;0,1;0,2;0,3")


def sub4_dct1d() -> Recipe:
    """The paper's transform."""
    return _control("photos-sub4-dct1d", "Four bands of the paper's one-dimensional DCT.", transform="dct1d")


def sub16() -> Recipe:
    """Sixteen bands."""
    return _control("photos-sub16", "Sixteen dct2d bands.", stride=4)


def _control(name: str, summary: str, *, branches: str = "each", stride: int = 2, transform: str = "dct2d") -> Recipe:
    base = sub4().config
    split = replace(base.split, stride=stride, transform=transform)
    # Lone phases and dct1d bands have no exact flip of their own, so these controls train without it.
    flips = stride == 1 or transform == "dct2d"
    config = replace(
        base,
        name=name,
        split=split,
        branches=branches,
        augment=base.augment if flips else replace(base.augment, hflip=0.0),
    )
    return Recipe(config=config, summary=summary)


RECIPES = (sub4, baseline, ensemble4, lowres4, polyphase4, joint4, context4, sub4_dct1d, sub16)
