"""Erasing boxes of bands is painting boxes of the picture grey."""

import numpy as np
import pytest
import torch
from tests.augment.exact import (
    CROP,
    EXACT_GROUPS,
    SIDE,
    augmenter,
    picture_at,
    random_pictures,
    standardised,
    stored_bytes,
    stored_values,
)

from bandwise.augment.mixing import erasing_boxes
from bandwise.bands.transform import SubbandTransform


@pytest.mark.parametrize(("kind", "stride", "bands"), EXACT_GROUPS)
def test_erasing_bands_is_painting_the_picture_grey(kind: str, stride: int, bands: tuple[int, ...]) -> None:
    transform, pictures, ids = SubbandTransform(stride, kind), random_pictures(24, stride), torch.arange(100, 124)
    options = {"random_crop": False, "hflip": 0.0}
    centre = (SIDE - CROP) // 2
    cropped = picture_at(pictures, (centre, centre, False, False), stride)
    painted = cropped.copy()
    for picture, box in zip(painted, erasing_boxes(ids.numpy(), CROP, seed=3, epoch=6), strict=True):
        top, left, height, width = (int(edge) * stride for edge in box)
        picture[:, top : top + height, left : left + width] = 128
    for make, tolerance in ((stored_values, 1e-9), (stored_bytes, 1e-4)):
        result = augmenter(transform, bands, reprob=0.5, **options)(make(pictures, transform, bands), ids, epoch=6)
        whole, erased = (standardised(make(each, transform, bands), bands) for each in (cropped, painted))
        share = 0
        for found, before, after in zip(result.double(), whole, erased, strict=True):
            is_erased = (found - after).abs().max() < tolerance
            assert is_erased or (found - before).abs().max() < tolerance
            share += int(is_erased)
        assert 4 < share < 20


def test_erasing_boxes_are_inside_and_of_the_published_size() -> None:
    side = 56
    top, left, height, width = erasing_boxes(np.arange(5000), side, seed=0, epoch=0).T
    assert top.min() == left.min() == 0
    assert (top + height).max() == (left + width).max() == side
    area = height * width / side**2
    assert 0.017 < area.min() < 0.03 < 0.3 < area.max() < 0.35
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 0.01
    assert abs(np.log(height / width).mean()) < 0.05
