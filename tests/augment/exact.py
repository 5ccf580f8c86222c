"""Small pictures, their bands in float64 and in bytes, and the same augmentation done on the pictures themselves."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.standardise import BandStandardiser
from bandwise.bands.quantize import BandQuantizer, scales
from bandwise.bands.transform import SubbandTransform
from bandwise.config import AugmentConfig

SIDE, CROP = 7, 5
Place = tuple[int, int, bool, bool]
PLACES = tuple(itertools.product(range(SIDE - CROP + 1), range(SIDE - CROP + 1), (False, True), (False, True)))

EXACT_GROUPS = [
    ("dct2d", 2, (0,)),
    ("dct2d", 2, (1,)),
    ("dct2d", 2, (3,)),
    ("dct2d", 3, (5,)),
    ("dct2d", 3, (0, 4, 8)),
    ("dct2d", 2, (0, 1, 2, 3)),
    ("hadamard", 4, (6,)),
    ("hadamard", 4, (0, 15)),
    ("identity", 1, (0,)),
    ("identity", 2, (0, 1, 2, 3)),
    ("identity", 3, tuple(range(9))),
    ("dct1d", 2, (0, 1, 2, 3)),
    ("dct1d", 3, (0,)),
    ("dct1d", 3, tuple(range(9))),
    ("random", 2, (0, 1, 2, 3)),
]


def random_pictures(count: int, stride: int, channels: int = 3) -> NDArray[np.float64]:
    shape = (count, channels, SIDE * stride, SIDE * stride)
    return np.random.default_rng(11).integers(0, 256, shape).astype(np.float64)


def stored_values(pictures: NDArray[np.float64], transform: SubbandTransform, bands: tuple[int, ...]) -> torch.Tensor:
    """Split in float64, without rounding or offset: (B, nb * C, h, w), band-major."""
    coefficients = transform.forward(pictures) / scales(transform).reshape(-1, 1, 1, 1, 1)
    chosen = coefficients[list(bands)].transpose(1, 0, 2, 3, 4)
    return torch.from_numpy(chosen.reshape(len(pictures), -1, *chosen.shape[3:]).copy())


def stored_bytes(pictures: NDArray[np.float64], transform: SubbandTransform, bands: tuple[int, ...]) -> torch.Tensor:
    quantizer = BandQuantizer(transform, bands)
    records = [quantizer.split(picture.transpose(1, 2, 0).astype(np.uint8)) for picture in pictures]
    stacked = np.stack(records).transpose(0, 1, 4, 2, 3)
    return torch.from_numpy(stacked.reshape(len(pictures), -1, *stacked.shape[3:]).copy())


def moments(bands: tuple[int, ...], channels: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(5)
    return random.uniform(90, 160, (len(bands), channels)), random.uniform(10, 60, (len(bands), channels))


def augmenter(
    transform: SubbandTransform, bands: tuple[int, ...], *, channels: int = 3, seed: int = 3, **options: Any
) -> BandAugment:
    config = AugmentConfig(**options)
    return BandAugment(config, cutter(transform, bands, channels, inexact_flip=config.inexact_flip), seed)


def cutter(transform: SubbandTransform, bands: tuple[int, ...], channels: int = 3, **options: Any) -> BandCutter:
    sides = {"side": SIDE, "crop_side": CROP, **options}
    return BandCutter(BandStandardiser(transform, bands, *moments(bands, channels)), **sides)


def standardised(values: torch.Tensor, bands: tuple[int, ...], channels: int = 3) -> torch.Tensor:
    mean, std = (torch.from_numpy(each).reshape(1, -1, 1, 1) for each in moments(bands, channels))
    return (values.double() - mean) / std


def picture_at(pictures: NDArray[np.float64], place: Place, stride: int) -> NDArray[np.float64]:
    """Crop and flip pictures, in pixels."""
    top, left, across, down = place
    side = CROP * stride
    result = pictures[..., top * stride : top * stride + side, left * stride : left * stride + side]
    result = result[..., :, ::-1] if across else result
    return result[..., ::-1, :] if down else result
