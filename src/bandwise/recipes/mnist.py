"""Recipes on MNIST and Fashion-MNIST: one grey channel, 28 pixels.

    bandwise run mnist-sub4 --out runs/mnist-sub4

The `fc4` and `fc8` recipes repeat the experiments that the authors of the method published for MNIST, with their fully
connected networks and their real-valued Fourier transform (98.88 % with four bands, 97.92 % with sixteen). Ours train
for 20 epochs where theirs trained for 100.
"""

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import WHOLE_IMAGE, Rows, table

_RESIDUAL = {
    # A mirrored digit is no digit; clothes may be mirrored.
    data: RunConfig(
        name=data,
        data=DataConfig(data=data),
        split=SplitConfig(stride=2, transform="dct2d", canvas=28),
        network=NetworkConfig(model="resnet8", stem="dense"),
        training=TrainingConfig(crop=24, epochs=5, batch_size=128, lr=0.1, warmup_epochs=1, weight_decay=5e-4),
        augment=AugmentConfig(hflip=hflip),
    )
    for data, hflip in (("mnist", 0.0), ("fashion-mnist", 0.5))
}
_RESIDUAL_ROWS: Rows = {
    "sub4": ("Four dct2d bands of 14 px, one channel.", {}),
    "baseline": ("One network on the whole image.", {"split": WHOLE_IMAGE}),
}
_CONNECTED = RunConfig(
    name="mnist",
    data=DataConfig(data="mnist"),
    split=SplitConfig(stride=2, transform="dct2d", canvas=28, holdout=0.1),
    network=NetworkConfig(model="fc8"),
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
_CONNECTED_ROWS: Rows = {
    "fc4": ("Four layers on the whole image.", {"split": WHOLE_IMAGE, "network": {"model": "fc4"}}),
    "fc8": ("Eight layers on the whole image.", {"split": WHOLE_IMAGE}),
    "fc8-sub4": (
        "Four bands of the real Fourier transform, eight layers each.",
        {"split": {"transform": "refft"}},
    ),
    "fc8-sub16": (
        "Sixteen bands of the real Fourier transform, eight layers each.",
        {"split": {"stride": 4, "transform": "refft"}},
    ),
    "fc8-sub4-dct1d": (
        "Four bands of the one-dimensional DCT, eight layers each.",
        {"split": {"transform": "dct1d"}},
    ),
    "fc8-sub16-dct1d": (
        "Sixteen bands of the one-dimensional DCT, eight layers each.",
        {"split": {"stride": 4, "transform": "dct1d"}},
    ),
}

RECIPES = {
    **table(_RESIDUAL["mnist"], _RESIDUAL_ROWS),
    **table(_RESIDUAL["fashion-mnist"], _RESIDUAL_ROWS),
    **table(_CONNECTED, _CONNECTED_ROWS),
}
