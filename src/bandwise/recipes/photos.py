"""Recipes on `photos`: 1,393 photographs of groceries, 14 classes; small enough for two CPU cores.

    bandwise run photos-sub4 --out runs/photos-sub4

The controls are the same code with other values: one network on the whole image, an ensemble of four of them, the
low-resolution band alone four times, the phases without a transform, all bands in one network.
"""

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import WHOLE_IMAGE, Rows, table

# Lone phases and dct1d bands have no exact flip of their own, so these controls train without it.
_NO_FLIP = {"hflip": 0.0}
_BASE = RunConfig(
    name="photos",
    data=DataConfig(data="photos"),
    split=SplitConfig(stride=2, transform="dct2d", canvas=256),
    network=NetworkConfig(model="resnet10", stem="stock"),
    training=TrainingConfig(crop=224, epochs=16, batch_size=32, lr=0.1, warmup_epochs=2, smoothing=0.1),
    augment=AugmentConfig(),
)
_ROWS: Rows = {
    "sub4": ("Four dct2d bands, one small ResNet each.", {}),
    "baseline": ("One network on the whole image: the same network and recipe.", {"split": WHOLE_IMAGE}),
    "ensemble4": ("Four seeds of the whole-image network.", {"split": WHOLE_IMAGE, "branches": "0;0;0;0"}),
    "lowres4": ("Four seeds of the low-resolution band.", {"branches": "0;0;0;0"}),
    "polyphase4": (
        "The four phases without a transform.",
        {"split": {"transform": "identity"}, "augment": _NO_FLIP},
    ),
    "joint4": ("All four bands in one network.", {"branches": "0,1,2,3"}),
    "context4": ("Every branch sees the low band as context.", {"branches": "0;0,1;0,2;0,3"}),
    "sub4-dct1d": (
        "Four bands of the paper's one-dimensional DCT.",
        {"split": {"transform": "dct1d"}, "augment": _NO_FLIP},
    ),
    "sub16": ("Sixteen dct2d bands.", {"split": {"stride": 4}}),
}

RECIPES = table(_BASE, _ROWS)
