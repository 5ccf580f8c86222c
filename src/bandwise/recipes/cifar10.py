"""Recipes on CIFAR-10, read from its lossless binary files.

    bandwise run cifar10-sub4 --out runs/cifar10-sub4

One family of networks throughout, the three-stage ResNet with a dense stem and one block a stage. The whole image (28
px of 32) through `resnet8-narrow` costs 9.57 million multiply-adds, a band of 14 px through the same network 2.61, so
four branches cost 1.09 times the one network on the whole image. Wider and narrower members fill the groups of equal
cost:

    9.6 to 10.6 million in all     baseline; every four-branch system; `joint4-wide` and `lowres-wide` (double width)
    2.4 to 2.7 million in all      `lowres`, `joint4`, `baseline-slim` (half width)

Mirroring is exact for stored bands of dct2d only, so the transforms are compared without it (`...-noflip`, `dct1d`,
`polyphase4`, `random4`), and everything else with it.
"""

from dataclasses import replace

from bandwise.config import (
    AugmentConfig,
    DataConfig,
    NetworkConfig,
    RunConfig,
    SplitConfig,
    TrainingConfig,
)
from bandwise.recipes.recipe import Recipe


def sub4() -> Recipe:
    """Four bands of 16 by 16 pixels."""
    config = RunConfig(
        name="cifar10-sub4",
        data=DataConfig(data="cifar10"),
        split=SplitConfig(stride=2, transform="dct2d", canvas=32, holdout=0.1),
        network=NetworkConfig(model="resnet8-narrow", stem="dense"),
        training=TrainingConfig(crop=28, epochs=6, batch_size=128, lr=0.1, warmup_epochs=1, weight_decay=5e-4),
        augment=AugmentConfig(hflip=0.5),
    )
    return Recipe(config=config, summary="Four dct2d bands, one network each.")


def baseline() -> Recipe:
    """The same network once, on the whole image."""
    return control("baseline", "One network on the whole image.", stride=1, transform="identity")


def ensemble4() -> Recipe:
    """Four seeds of the baseline: four times the cost of every other four-branch system."""
    return control("ensemble4", "Four seeds of the whole-image network.", "0;0;0;0", stride=1, transform="identity")


def lowres() -> Recipe:
    """Band 0 alone; its only branch is branch 0 of `cifar10-sub4`."""
    return control("lowres", "One network on the low-resolution band.", "0")


def lowres4() -> Recipe:
    """Four seeds of band 0."""
    return control("lowres4", "Four seeds of the low-resolution band.", "0;0;0;0")


def context4() -> Recipe:
    """Each branch sees band 0 too."""
    return control("context4", "Every branch sees the low band as context.", "0;0,1;0,2;0,3")


def triples4() -> Recipe:
    """Each branch lacks one of the details, the last one none: more of the picture each, and more data a node."""
    return control("triples4", "Every branch sees the low band and two details or all.", "0,1,2;0,1,3;0,2,3;0,1,2,3")


def joint4_seeds() -> Recipe:
    """Four seeds of the network that sees all bands: nothing is divided but the multiply-adds."""
    return control("joint4-seeds", "Four seeds of all bands in one network.", ";".join(["0,1,2,3"] * 4))


def joint4() -> Recipe:
    """One network that sees all bands, at the cost of one branch."""
    return control("joint4", "All four bands in one network.", "0,1,2,3")


def sub4_noflip() -> Recipe:
    """What `cifar10-sub4` is without mirroring, beside the transforms that cannot mirror."""
    return control("sub4-noflip", "Four dct2d bands, trained without mirroring.", hflip=0.0)


def baseline_noflip() -> Recipe:
    """What the baseline is without mirroring."""
    summary = "One network on the whole image, trained without mirroring."
    return control("baseline-noflip", summary, stride=1, transform="identity", hflip=0.0)


def sub4_dct1d() -> Recipe:
    """The paper's transform."""
    summary = "Four bands of the paper's one-dimensional DCT, without mirroring."
    return control("sub4-dct1d", summary, transform="dct1d", hflip=0.0)


def sub4_dct1d_inexact() -> Recipe:
    """The paper's transform with bands that are mirrored as they are: not the bands of the mirrored image."""
    recipe = control("sub4-dct1d-inexact", "Bands of the one-dimensional DCT, mirrored inexactly.", transform="dct1d")
    augment = replace(recipe.config.augment, inexact_flip=True)
    return replace(recipe, config=replace(recipe.config, augment=augment))


def polyphase4() -> Recipe:
    """The phases as they are."""
    summary = "The four phases without a transform, without mirroring."
    return control("polyphase4", summary, transform="identity", hflip=0.0)


def random4() -> Recipe:
    """A random orthogonal transform across the phases."""
    summary = "Four bands of a random orthogonal transform, without mirroring."
    return control("random4", summary, transform="random", hflip=0.0)


def sub4_float16() -> Recipe:
    """Bands stored unrounded."""
    recipe = control("sub4-float16", "Four dct2d bands stored as float16.")
    return replace(recipe, config=replace(recipe.config, split=replace(recipe.config.split, storage="float16")))


def sub4_stock() -> Recipe:
    """The stem for large images: far less memory and far fewer multiply-adds."""
    return control("sub4-stock", "Four dct2d bands, networks with the stock stem.", stem="stock")


def baseline_stock() -> Recipe:
    """The baseline with the stem for large images."""
    summary = "One network with the stock stem on the whole image."
    return control("baseline-stock", summary, stride=1, transform="identity", stem="stock")


def sub4_image() -> Recipe:
    """Augmentation before the split: random resized crops, which stored bands cannot do."""
    return _at_image(control("sub4-image", "Four dct2d bands of images augmented before the split."))


def baseline_image() -> Recipe:
    """The baseline with the augmentation of `cifar10-sub4-image`."""
    summary = "One network on the whole image, with random resized crops."
    return _at_image(control("baseline-image", summary, stride=1, transform="identity"))


def joint4_wide() -> Recipe:
    """All bands in one network of the cost of four branches."""
    return control("joint4-wide", "All four bands in one network of double width.", "0,1,2,3", model="resnet8")


def lowres_wide() -> Recipe:
    """Band 0 in one network of the cost of four branches."""
    return control("lowres-wide", "The low-resolution band in one network of double width.", "0", model="resnet8")


def baseline_slim() -> Recipe:
    """The whole image in one network of the cost of one branch."""
    summary = "The whole image in one network of half the width: the cost of one branch."
    return control("baseline-slim", summary, stride=1, transform="identity", model="resnet8-slim")


def sub16() -> Recipe:
    """Sixteen bands of 8 by 8 pixels."""
    return control("sub16", "Sixteen dct2d bands.", stride=4)


def sub16_dct1d() -> Recipe:
    """Sixteen bands of the paper's transform."""
    summary = "Sixteen bands of the one-dimensional DCT, without mirroring."
    return control("sub16-dct1d", summary, stride=4, transform="dct1d", hflip=0.0)


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


def _at_image(recipe: Recipe) -> Recipe:
    augment = replace(recipe.config.augment, at="image", scale=0.5)
    return replace(recipe, config=replace(recipe.config, augment=augment))


def control(
    row: str,
    summary: str,
    branches: str = "each",
    *,
    stride: int = 2,
    transform: str = "dct2d",
    hflip: float = 0.5,
    model: str = "resnet8-narrow",
    stem: str = "dense",
    initial_branch: int | None = None,
) -> Recipe:
    """Return `sub4` with other values, named `cifar10-` and the row."""
    base = sub4().config
    config = replace(
        base,
        name=f"cifar10-{row}",
        split=replace(base.split, stride=stride, transform=transform),
        branches=branches,
        initial_branch=initial_branch,
        network=replace(base.network, model=model, stem=stem),
        augment=replace(base.augment, hflip=hflip),
    )
    return Recipe(config=config, summary=summary)


RECIPES = (
    sub4,
    baseline,
    ensemble4,
    lowres,
    lowres4,
    context4,
    triples4,
    joint4_seeds,
    joint4,
    sub4_noflip,
    baseline_noflip,
    sub4_dct1d,
    sub4_dct1d_inexact,
    polyphase4,
    random4,
    sub4_float16,
    sub4_stock,
    baseline_stock,
    sub4_image,
    baseline_image,
    joint4_wide,
    lowres_wide,
    baseline_slim,
    sub16,
    sub16_dct1d,
    smoke,
)
