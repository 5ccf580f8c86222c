"""Positions by hand, against torchvision's ten crops, and on canvas and phases alike."""

import pytest
import torch

from bandwise.errors import UsageError
from bandwise.evaluation.views import CropBox, center_box, ten_crop_boxes


def cut(image: torch.Tensor, crop: int, box: CropBox) -> torch.Tensor:
    top, left, mirrored = box
    pixels = image[..., top : top + crop, left : left + crop]
    return pixels.flip(-1) if mirrored else pixels


def test_by_hand():
    assert ten_crop_boxes(8, 5) == (
        (0, 0, False),
        (0, 3, False),
        (3, 0, False),
        (3, 3, False),
        (1, 1, False),
        (0, 0, True),
        (0, 3, True),
        (3, 0, True),
        (3, 3, True),
        (1, 1, True),
    )


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_crop_of_a_phase_is_the_phase_of_the_crop(stride):
    side, crop = 9, 6
    canvas = torch.randn(side * stride, side * stride)
    for top, left, _ in ten_crop_boxes(side, crop):
        cropped = cut(canvas, crop * stride, (top * stride, left * stride, False))
        for row in range(stride):
            for column in range(stride):
                phase = canvas[row::stride, column::stride]
                assert torch.equal(cut(phase, crop, (top, left, False)), cropped[row::stride, column::stride])


@pytest.mark.parametrize(("side", "crop"), [(5, 6), (5, 0), (5, -1), (0, 1)])
def test_refusals(side, crop):
    for boxes in (center_box, ten_crop_boxes):
        with pytest.raises(
            UsageError, match=f"a crop of {crop} px does not fit a band of {side} px; choose 1 to {side}"
        ):
            boxes(side, crop)


@pytest.mark.parametrize(("side", "crop"), [(8, 4), (16, 14), (9, 9), (257, 225)])
def test_the_same_ten_crops_as_torchvision(side, crop):
    functional = pytest.importorskip("torchvision.transforms.functional")
    image = torch.arange(side * side).reshape(1, side, side)
    ours = {tuple(cut(image, crop, box).flatten().tolist()) for box in ten_crop_boxes(side, crop)}
    theirs = {tuple(picture.flatten().tolist()) for picture in functional.ten_crop(image, crop)}
    assert ours == theirs
    assert len(ours) == (10 if side > crop else 2)
