"""Augmentation of whole pictures by the transforms of timm and torchvision, repeatable one picture at a time."""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data.auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform
from timm.data.constants import IMAGENET_DEFAULT_MEAN
from timm.data.transforms import RandomResizedCropAndInterpolation, str_to_pil_interp
from torchvision.transforms import ColorJitter, InterpolationMode, TrivialAugmentWide

from bandwise.config import AugmentConfig
from bandwise.errors import UsageError

Transform = Callable[[Image.Image], Image.Image]

TRIVIAL = "trivialaugment"
_RATIO = (3 / 4, 4 / 3)
# What timm moves pictures by at most, and paints the places that a shift or a turn leaves empty with.
_TRANSLATE_SHARE = 0.45
_FILL = tuple(round(255 * value) for value in IMAGENET_DEFAULT_MEAN)
_NUMBER = r"\d+(\.\d+)?"
# timm reads over what it does not know in a policy (`rand-mfoo` is magnitude 10), so its grammar is checked here.
_POLICY = re.compile(
    rf"rand(-(m\d+|n\d+|p{_NUMBER}|mstd{_NUMBER}|mmax\d+|inc[01]|tweights|t3aw?))*"
    rf"|augmix(-(m\d+|w\d+|d\d+|b[01]|a{_NUMBER}|mstd{_NUMBER}))*"
    rf"|(original|originalr|v0|v0r|3a)(-mstd{_NUMBER})?"
)


class PictureAugment:
    """Crops, flips and recolours one picture, in timm's order; the same draws give the same picture.

    - A random resized crop (timm's): area `scale` to 1 of the picture, width over height 3/4 to 4/3.
    - Horizontal and vertical flip, which the caller has drawn.
    - The policy `aa`: timm's, or torchvision's `TrivialAugmentWide`.
    - `color_jitter`: torchvision's, of brightness, contrast and saturation.

    A grey picture goes through the policy and the jitter as RGB and comes back grey, which loses nothing.
    """

    def __init__(self, config: AugmentConfig, crop: int) -> None:
        """Prepare for training crops of `crop` pixels a side; refuse an `aa` that is no policy."""
        self.crop = crop
        self.resizes = config.random_crop
        resize = RandomResizedCropAndInterpolation(
            crop, scale=(config.scale, 1.0), ratio=_RATIO, interpolation=config.interpolation
        )
        self._resize = cast(Transform, resize)
        self._colours = [_policy(config, crop)] if config.aa else []
        if config.color_jitter:
            self._colours.append(ColorJitter(*[config.color_jitter] * 3))

    def __call__(self, picture: Image.Image, state: int, *, horizontal: bool, vertical: bool) -> Image.Image:
        """Return a picture of the same mode (L or RGB), `crop` pixels a side; it has that where `random_crop` is off.

        Everything but the flips is drawn from `state`, 0 to 2^64 - 1.
        """
        mode = picture.mode
        with seeded(state):
            if self.resizes:
                picture = self._resize(picture)
            if horizontal:
                picture = ImageOps.mirror(picture)
            if vertical:
                picture = ImageOps.flip(picture)
            if self._colours:
                picture = picture.convert("RGB")
            for transform in self._colours:
                picture = transform(picture)
        return picture.convert(mode)


@contextlib.contextmanager
def seeded(state: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch inside, and give them back as they were.

    The transforms of timm and torchvision draw from all three, and take no generator.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(state)
    np.random.seed([state >> 32, state & 0xFFFFFFFF])  # noqa: NPY002
    # Not `torch.manual_seed`, which would seed CUDA's generators too.
    torch.default_generator.manual_seed(state)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def _policy(config: AugmentConfig, crop: int) -> Transform:
    if config.aa == TRIVIAL:
        bicubic = config.interpolation == "bicubic"
        return TrivialAugmentWide(interpolation=InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR)
    if not _POLICY.fullmatch(config.aa):
        raise UsageError(
            f"aa is {config.aa!r}; it must be {TRIVIAL}, or a policy of timm such as rand-m7-mstd0.5-inc1, "
            "augmix-m3-w3, original, originalr, v0, v0r or 3a"
        )
    settings = {"translate_const": int(crop * _TRANSLATE_SHARE), "img_mean": _FILL}
    if config.interpolation != "random":
        settings["interpolation"] = str_to_pil_interp(config.interpolation)
    if config.aa.startswith("rand"):
        return rand_augment_transform(config.aa, settings)
    if config.aa.startswith("augmix"):
        return augment_and_mix_transform(config.aa, {**settings, "translate_pct": 0.3})
    return auto_augment_transform(config.aa, settings)
