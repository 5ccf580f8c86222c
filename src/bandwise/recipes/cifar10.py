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

The `...-long` systems train for 24 epochs in place of six. Against those of six, `joint4-long` is a control of equal
cost of training: a small network trained for as many multiply-adds as four branches are, which then answers with a
quarter of theirs.

In the `...-warm` systems and `best` the other branches start from the final weights of branch 0. Each is trained for as
long as without, so the multiply-adds are the same, but two trainings follow one another, and one file is sent.

The `resnet18-` and `resnet34-` recipes are for an accelerator: another network, 30 epochs in place of 6, and bfloat16;
nothing else differs, so the systems belong to the same groups of equal cost. A CPU would take hours for one seed.
"""

from dataclasses import replace

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import WHOLE_IMAGE, Recipe, Rows, larger, table

_NO_FLIP = {"hflip": 0.0}
# Random resized crops before the split, which stored bands cannot do.
_AT_IMAGE = {"at": "image", "scale": 0.5}
_LOW_BAND_IN_EACH = "0;0,1;0,2;0,3"
_ALL_BANDS = "0,1,2,3"
_LONG = {"training": {"epochs": 24}}

_BASE = RunConfig(
    name="cifar10",
    data=DataConfig(data="cifar10"),
    split=SplitConfig(stride=2, transform="dct2d", canvas=32, holdout=0.1),
    network=NetworkConfig(model="resnet8-narrow", stem="dense"),
    training=TrainingConfig(crop=28, epochs=6, batch_size=128, lr=0.1, warmup_epochs=1, weight_decay=5e-4),
    augment=AugmentConfig(hflip=0.5),
)
_ROWS: Rows = {
    "sub4": ("Four dct2d bands, one network each.", {}),
    "baseline": ("One network on the whole image.", {"split": WHOLE_IMAGE}),
    # Four times the cost of every other four-branch system.
    "ensemble4": ("Four seeds of the whole-image network.", {"split": WHOLE_IMAGE, "branches": "0;0;0;0"}),
    # Its only branch is branch 0 of `cifar10-sub4`.
    "lowres": ("One network on the low-resolution band.", {"branches": "0"}),
    "lowres4": ("Four seeds of the low-resolution band.", {"branches": "0;0;0;0"}),
    "context4": ("Every branch sees the low band as context.", {"branches": _LOW_BAND_IN_EACH}),
    # More of the picture for each branch, and more data a node.
    "triples4": (
        "Every branch sees the low band and two details or all.",
        {"branches": "0,1,2;0,1,3;0,2,3;0,1,2,3"},
    ),
    # Nothing is divided but the multiply-adds.
    "joint4-seeds": ("Four seeds of all bands in one network.", {"branches": ";".join([_ALL_BANDS] * 4)}),
    "joint4": ("All four bands in one network.", {"branches": _ALL_BANDS}),
    "sub4-noflip": ("Four dct2d bands, trained without mirroring.", {"augment": _NO_FLIP}),
    "baseline-noflip": (
        "One network on the whole image, trained without mirroring.",
        {"split": WHOLE_IMAGE, "augment": _NO_FLIP},
    ),
    "sub4-dct1d": (
        "Four bands of the paper's one-dimensional DCT, without mirroring.",
        {"split": {"transform": "dct1d"}, "augment": _NO_FLIP},
    ),
    # Mirrored as they are, which does not give the bands of the mirrored image.
    "sub4-dct1d-inexact": (
        "Bands of the one-dimensional DCT, mirrored inexactly.",
        {"split": {"transform": "dct1d"}, "augment": {"inexact_flip": True}},
    ),
    "polyphase4": (
        "The four phases without a transform, without mirroring.",
        {"split": {"transform": "identity"}, "augment": _NO_FLIP},
    ),
    "random4": (
        "Four bands of a random orthogonal transform, without mirroring.",
        {"split": {"transform": "random"}, "augment": _NO_FLIP},
    ),
    "sub4-float16": ("Four dct2d bands stored as float16.", {"split": {"storage": "float16"}}),
    # The stem for large images: far less memory and far fewer multiply-adds.
    "sub4-stock": ("Four dct2d bands, networks with the stock stem.", {"network": {"stem": "stock"}}),
    "baseline-stock": (
        "One network with the stock stem on the whole image.",
        {"split": WHOLE_IMAGE, "network": {"stem": "stock"}},
    ),
    "sub4-image": ("Four dct2d bands of images augmented before the split.", {"augment": _AT_IMAGE}),
    "baseline-image": (
        "One network on the whole image, with random resized crops.",
        {"split": WHOLE_IMAGE, "augment": _AT_IMAGE},
    ),
    "joint4-wide": (
        "All four bands in one network of double width.",
        {"branches": _ALL_BANDS, "network": {"model": "resnet8"}},
    ),
    "lowres-wide": (
        "The low-resolution band in one network of double width.",
        {"branches": "0", "network": {"model": "resnet8"}},
    ),
    "baseline-slim": (
        "The whole image in one network of half the width: the cost of one branch.",
        {"split": WHOLE_IMAGE, "network": {"model": "resnet8-slim"}},
    ),
    "sub16": ("Sixteen dct2d bands.", {"split": {"stride": 4}}),
    "sub16-dct1d": (
        "Sixteen bands of the one-dimensional DCT, without mirroring.",
        {"split": {"stride": 4, "transform": "dct1d"}, "augment": _NO_FLIP},
    ),
    "smoke": (
        "Four bands for one epoch: shows that everything works, not how well.",
        {"training": {"crop": 24, "epochs": 1, "warmup_epochs": 0}},
    ),
    # The best system of four branches that was found.
    "best": (
        "Every branch sees the low band and starts from its network; fused by a head.",
        {"branches": _LOW_BAND_IN_EACH, "initial_branch": 0, "fusion": {"rule": "head"}},
    ),
    "sub4-warm": ("Four dct2d bands, each started from the network of the low one.", {"initial_branch": 0}),
    # What a warm start does without other bands, and where nothing is divided but the multiply-adds.
    "lowres4-warm": (
        "Four networks on the low-resolution band, three started from the first.",
        {"branches": "0;0;0;0", "initial_branch": 0},
    ),
    "joint4-warm": (
        "Four networks on all four bands, three started from the first.",
        {"branches": ";".join([_ALL_BANDS] * 4), "initial_branch": 0},
    ),
    "joint4-long": ("All four bands in one network, trained four times as long.", {"branches": _ALL_BANDS, **_LONG}),
    # Is six epochs too short to judge by?
    "baseline-long": (
        "One network on the whole image, trained four times as long.",
        {"split": WHOLE_IMAGE, **_LONG},
    ),
    "sub4-long": ("Four dct2d bands, one network each, trained four times as long.", _LONG),
    "context4-long": (
        "Every branch sees the low band as context, trained four times as long.",
        {"branches": _LOW_BAND_IN_EACH, **_LONG},
    ),
    # What a warm start does for the whole image. The file holds the final weights of `cifar10-lowres` with the same
    # seed. Six epochs of that and four of this take 53.9 million multiply-adds an image, the baseline 57.4.
    "baseline-progressive": (
        "The whole image, started from cifar10-lowres.safetensors: the final weights of cifar10-lowres.",
        {
            "split": WHOLE_IMAGE,
            "network": {"initial_checkpoint": "cifar10-lowres.safetensors"},
            "training": {"epochs": 4},
        },
    ),
}

_RESNET18 = (
    "baseline ensemble4 lowres lowres4 sub4 context4 best sub4-warm lowres4-warm joint4 baseline-noflip sub4-noflip "
    "sub4-dct1d polyphase4 random4 sub16 baseline-image sub4-image baseline-stock sub4-stock"
)
_RESNET34 = "baseline lowres4 sub4 context4 best sub4-warm"


def _smoke() -> Recipe:
    """Return a recipe that shows whether everything works."""
    expected = "it finishes; accuracy after one epoch means nothing"
    return replace(_TABLE["cifar10-smoke"](), cost="under 3 min on two cores", expected=expected)


_TABLE = table(_BASE, _ROWS)
RECIPES = {
    **_TABLE,
    "cifar10-smoke": _smoke,
    **larger(_BASE, _ROWS, "resnet18", _RESNET18, epochs=30, warmup_epochs=2),
    **larger(_BASE, _ROWS, "resnet34", _RESNET34, epochs=30, warmup_epochs=2),
}
