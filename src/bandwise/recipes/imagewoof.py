"""Recipes on Imagewoof, ten breeds of dogs, at 160 of 180 px: about the size of picture that the method is for.

    bandwise run imagewoof-sub4-lean --out runs/imagewoof-sub4-lean

Multiply-adds of a picture, forward, of the systems with `resnet10`, in millions:

    system                                          a node        in all     data a node
    whole, and four seeds of it: whole4                106      106, 424               1
    joint4, and four seeds of it: joint4-seeds         106      106, 424               1
    sub4 and its other transforms, lowres4              89           356             1/4
    context4                                            95           373             1/2
    sub16                                               84         1,351            1/16
    sub4-lean                                           29           116             1/4
    whole-slim (half the width)                         32            32               1

So three questions have controls of their own. Equal cost of a node, 89 to 106 million: `whole4`, `joint4-seeds`,
`lowres4`, `context4`, `sub4`; 29 to 32 million: `whole-slim`, `sub4-lean`. Equal cost in all, 106 to 116 million:
`whole`, `joint4`, `sub4-lean`; 356 to 424 million: `whole4`, `joint4-seeds`, `lowres4`, `context4`, `sub4`. Equal data
of a node, a quarter: `lowres4`, `sub4`, `sub4-lean`.

The dense stem makes the map of the first stage of 80 px as large as that of the whole image, 40x40: it costs a node
nearly as much as the whole image. `sub4-lean` has the stock stem there.

Mirroring is exact for stored bands of dct2d only, so the transforms are compared without it (`sub4-noflip`,
`sub4-dct1d`, `polyphase4`, `random4`), and everything else with it.

The `...-long` systems train for 24 epochs in place of eight: `whole-long` for about the multiply-adds of the four
branches of `sub4`. The `resnet18-` recipes are for an accelerator: another network, 60 epochs and bfloat16.
"""

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import WHOLE_IMAGE, Rows, larger, table

_NO_FLIP = {"hflip": 0.0}
_STOCK = {"stem": "stock"}
_ALL_BANDS = "0,1,2,3"
_LONG = {"training": {"epochs": 24}}
_BASE = RunConfig(
    name="imagewoof",
    data=DataConfig(data="imagewoof2-160"),
    split=SplitConfig(stride=2, transform="dct2d", canvas=180),
    network=NetworkConfig(model="resnet10", stem="dense"),
    training=TrainingConfig(crop=160, epochs=8, batch_size=64, lr=0.1, warmup_epochs=1, smoothing=0.1),
    augment=AugmentConfig(),
)
_ROWS: Rows = {
    "sub4": ("Four dct2d bands, a network each with the map of the whole image.", {}),
    "sub4-lean": (
        "Four dct2d bands, a network each with the stock stem: the cost of one whole image.",
        {"network": _STOCK},
    ),
    "whole": ("One network on the whole image.", {"split": WHOLE_IMAGE}),
    "whole4": ("Four seeds of the whole-image network.", {"split": WHOLE_IMAGE, "branches": "0;0;0;0"}),
    "whole-slim": (
        "One network of half the width on the whole image: the cost of a node of imagewoof-sub4-lean.",
        {"split": WHOLE_IMAGE, "network": {"model": "resnet10-slim"}},
    ),
    "lowres4": ("Four seeds of the low-resolution band.", {"branches": "0;0;0;0"}),
    "context4": ("Every branch sees the low band as context.", {"branches": "0;0,1;0,2;0,3"}),
    "joint4": ("All four bands in one network.", {"branches": _ALL_BANDS}),
    "joint4-seeds": ("Four seeds of all bands in one network.", {"branches": ";".join([_ALL_BANDS] * 4)}),
    "sub4-noflip": ("Four dct2d bands, trained without mirroring.", {"augment": _NO_FLIP}),
    "sub4-dct1d": (
        "Four bands of the paper's one-dimensional DCT, without mirroring.",
        {"split": {"transform": "dct1d"}, "augment": _NO_FLIP},
    ),
    "polyphase4": (
        "The four phases without a transform, without mirroring.",
        {"split": {"transform": "identity"}, "augment": _NO_FLIP},
    ),
    "random4": (
        "Four bands of a random orthogonal transform, without mirroring.",
        {"split": {"transform": "random"}, "augment": _NO_FLIP},
    ),
    "sub16": ("Sixteen dct2d bands.", {"split": {"stride": 4}}),
    "whole-long": ("One network on the whole image, trained three times as long.", {"split": WHOLE_IMAGE, **_LONG}),
    "sub4-long": ("Four dct2d bands, a network each, trained three times as long.", _LONG),
    "sub4-lean-long": (
        "Four dct2d bands, a network each with the stock stem, trained three times as long.",
        {"network": _STOCK, **_LONG},
    ),
    "joint4-long": ("All four bands in one network, trained three times as long.", {"branches": _ALL_BANDS, **_LONG}),
}
_RESNET18 = (
    "whole whole4 sub4 sub4-lean lowres4 context4 joint4 joint4-seeds sub4-noflip sub4-dct1d polyphase4 random4 sub16"
)

RECIPES = {
    **table(_BASE, _ROWS),
    **larger(_BASE, _ROWS, "resnet18", _RESNET18, epochs=60, warmup_epochs=5),
}
