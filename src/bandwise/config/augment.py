"""Augmentation, of stored bands or of whole images."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from bandwise.config.checks import require, require_number


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Augmentation of stored bands, or of whole images that are split afterwards."""

    at: Annotated[Literal["band", "image"], tyro.conf.arg(name="augment-at")] = "band"
    """band: on stored records, each operation equal to the same one on the image before the split. image: reads the
    source, crops and augments at full resolution, then splits on the device; all branches see the same crop."""

    random_crop: bool = True
    """At the band: crop at a random multiple of the stride. At the image: a random resized crop. Off: the centre."""

    scale: float = 0.08
    """At the image: least share of its area in a random resized crop (timm's `--scale SCALE 1`)."""

    aa: str = ""
    """At the image: timm's name of an augmentation policy, for example rand-m7-mstd0.5-inc1, or trivialaugment."""

    color_jitter: float = 0.0
    """At the image: strength of random brightness, contrast and saturation."""

    interpolation: Literal["bilinear", "bicubic", "random"] = "bilinear"
    """At the image: how a random resized crop is resized."""

    aug_repeats: int = 0
    """At the image: copies of an image in an epoch, each augmented anew, among fewer images; 0 and 1 are off."""

    hflip: float = 0.5
    """Probability of a horizontal flip."""

    vflip: float = 0.0
    """Probability of a vertical flip."""

    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""

    cutmix: float = 0.0
    """Alpha of cutmix with boxes aligned to the stride; 0 is off."""

    reprob: float = 0.0
    """Probability of erasing a box aligned to the stride."""

    inexact_flip: bool = False
    """Mirror a stored band even where the result is not the band of the mirrored image (dct1d, random, lone phases)."""

    def __post_init__(self) -> None:
        if self.at == "band":
            only = {"scale": 0.08, "aa": "", "color_jitter": 0.0, "interpolation": "bilinear", "aug_repeats": 0}
            for key, unset in only.items():
                value = getattr(self, key)
                require(
                    value == unset, key, value, f"{unset!r} with augment.at band; give --augment-at image to use it"
                )
        require_number("scale", self.scale, 0, 1, open_low=True)
        require_number("color_jitter", self.color_jitter, 0, 1)
        require_number("aug_repeats", self.aug_repeats, 0, 16)
        for key in ("hflip", "vflip", "reprob"):
            require_number(key, getattr(self, key), 0, 1)
        for key in ("mixup", "cutmix"):
            require_number(key, getattr(self, key), 0, 100)
