"""Augmenting stored bands is splitting the augmented picture: every operation against the picture itself."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.augment.exact import (
    CROP,
    EXACT_GROUPS,
    PLACES,
    SIDE,
    Place,
    augmenter,
    cutter,
    moments,
    picture_at,
    random_pictures,
    standardised,
    stored_bytes,
    stored_values,
)

from bandwise.augment.bands import BandCutter
from bandwise.augment.standardise import BandStandardiser, to_device
from bandwise.bands.quantize import BandQuantizer
from bandwise.bands.transform import SubbandTransform
from bandwise.errors import UsageError


def places_found(
    result: torch.Tensor,
    pictures: NDArray[np.float64],
    transform: SubbandTransform,
    bands: tuple[int, ...],
    tolerance: float = 1e-9,
) -> list[Place]:
    """Say for each sample which crop and flip of its picture it is the split of; exactly one must fit."""
    found: list[list[Place]] = [[] for _ in pictures]
    for place in PLACES:
        expected = standardised(stored_values(picture_at(pictures, place, transform.stride), transform, bands), bands)
        error = (result.double() - expected).abs().amax(dim=(1, 2, 3))
        for sample in torch.nonzero(error < tolerance).ravel().tolist():
            found[sample].append(place)
    assert [len(each) for each in found] == [1] * len(pictures)
    return [each[0] for each in found]


@pytest.mark.parametrize(("kind", "stride", "bands"), EXACT_GROUPS)
def test_crop_and_flips_of_bands_are_those_of_the_picture(kind: str, stride: int, bands: tuple[int, ...]) -> None:
    transform, pictures = SubbandTransform(stride, kind), random_pictures(24, stride)
    augment = augmenter(transform, bands, hflip=0.5, vflip=0.5)
    result = augment(stored_values(pictures, transform, bands), torch.arange(24), epoch=2)
    assert result.dtype == torch.float64
    places = places_found(result, pictures, transform, bands)
    for axis in range(4):
        assert len({place[axis] for place in places}) > 1, "the draws vary"


@pytest.mark.parametrize(("kind", "stride", "bands"), EXACT_GROUPS)
def test_stored_bytes_follow_to_the_rounding_of_one_step(kind: str, stride: int, bands: tuple[int, ...]) -> None:
    transform, pictures = SubbandTransform(stride, kind), random_pictures(24, stride)
    augment = augmenter(transform, bands, hflip=0.5, vflip=0.5)
    ids = torch.arange(24)
    places = places_found(augment(stored_values(pictures, transform, bands), ids, epoch=2), pictures, transform, bands)
    result = augment(stored_bytes(pictures, transform, bands), ids, epoch=2)
    assert result.dtype == torch.float32
    std = torch.from_numpy(moments(bands)[1]).reshape(-1, 1, 1)
    # A full matrix adds up the roundings of all bands of the group.
    step = 1.0 if kind in ("dct2d", "hadamard") else len(bands) ** 0.5
    for picture, place, found in zip(pictures, places, result, strict=True):
        wanted = standardised(stored_bytes(picture_at(picture[None], place, stride), transform, bands), bands)[0]
        steps = ((found.double() - wanted) * std).abs().max()
        assert steps < (1e-4 if kind == "identity" else step + 1e-4)


def test_a_crop_alone_gives_the_very_bytes_of_the_cropped_picture() -> None:
    transform, bands = SubbandTransform(2, "dct1d"), (1, 2)
    pictures = random_pictures(20, 2)
    result = augmenter(transform, bands, hflip=0)(stored_bytes(pictures, transform, bands), torch.arange(20), epoch=0)
    mean, std = (each.reshape(1, -1, 1, 1) for each in moments(bands))
    back = np.rint(result.numpy() * std + mean)
    corners = set()
    for picture, found in zip(pictures, back, strict=True):
        crops = {
            (top, left): stored_bytes(picture_at(picture[None], (top, left, False, False), 2), transform, bands)[0]
            for top, left in itertools.product(range(SIDE - CROP + 1), repeat=2)
        }
        corners |= {corner for corner, crop in crops.items() if np.array_equal(found, crop)}
    assert len(corners) == 9, "every corner occurs"


def test_without_random_crop_the_centre_is_taken() -> None:
    transform, bands = SubbandTransform(2, "dct2d"), (2,)
    values = stored_values(random_pictures(5, 2), transform, bands)
    augment = augmenter(transform, bands, random_crop=False, hflip=0)
    centre = standardised(values[:, :, 1:-1, 1:-1], bands)
    torch.testing.assert_close(augment(values, torch.arange(5), 0), centre, rtol=0, atol=1e-12)
    torch.testing.assert_close(cutter(transform, bands).center(values), centre, rtol=0, atol=1e-12)


def test_same_sample_same_place_in_every_branch_batch_and_memory_format() -> None:
    transform, pictures = SubbandTransform(2, "dct2d"), random_pictures(16, 2)
    ids = torch.tensor([5, 900, 17, 3, 2**40, 8, 1, 0, 44, 45, 46, 47, 48, 49, 50, 51])
    places = []
    for band in range(4):
        values = stored_values(pictures, transform, (band,))
        augment = augmenter(transform, (band,), hflip=0.5, vflip=0.5)
        whole = augment(values, ids, epoch=4)
        places.append(places_found(whole, pictures, transform, (band,)))
        order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
        assert torch.equal(augment(values[order], ids[order], epoch=4), whole[order])
        assert torch.equal(augment(values.contiguous(memory_format=torch.channels_last), ids, epoch=4), whole)
        for sample in range(16):
            assert torch.equal(augment(values[sample : sample + 1], ids[sample : sample + 1], 4)[0], whole[sample])
    assert places[0] == places[1] == places[2] == places[3]
    bands = (0, 3)
    both = augmenter(transform, bands, hflip=0.5, vflip=0.5)(stored_values(pictures, transform, bands), ids, 4)
    assert places_found(both, pictures, transform, bands) == places[0]


def test_epoch_and_seed_change_the_draws() -> None:
    transform, pictures, ids = SubbandTransform(2, "dct2d"), random_pictures(40, 2), torch.arange(40)
    values = stored_values(pictures, transform, (1,))
    places = [
        places_found(augmenter(transform, (1,), seed=seed)(values, ids, epoch), pictures, transform, (1,))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    for one, other in itertools.combinations(places, 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 15, "2 in 36 agree by chance"


def test_the_batch_given_is_left_as_it_was() -> None:
    transform, bands = SubbandTransform(2, "dct2d"), (0, 1)
    values = stored_bytes(random_pictures(12, 2), transform, bands).contiguous(memory_format=torch.channels_last)
    before = values.clone()
    augmenter(transform, bands, hflip=1, vflip=1, reprob=1)(values, torch.arange(12), 0)
    assert torch.equal(values, before)


@pytest.mark.parametrize(
    ("kind", "bands", "option"),
    [("dct1d", (1,), "hflip"), ("identity", (0,), "hflip"), ("random", (2, 3), "vflip"), ("dct1d", (0, 1), "vflip")],
)
def test_a_flip_that_is_not_exact_is_refused_with_the_choices(kind: str, bands: tuple[int, ...], option: str) -> None:
    transform = SubbandTransform(2, kind)
    off: dict[str, Any] = {"hflip": 0.0, "vflip": 0.0}
    with pytest.raises(UsageError, match=rf"exact {option}.*dct2d or hadamard.*--{option} 0.*--inexact-flip"):
        augmenter(transform, bands, **{**off, option: 0.5})
    augmenter(transform, bands, **off)
    if option == "hflip":
        values = stored_values(random_pictures(2, 2), transform, bands)
        with pytest.raises(UsageError, match="exact hflip"):
            cutter(transform, bands).box(values, 0, 0, mirrored=True)


@pytest.mark.parametrize(
    ("kind", "band", "sign"), [("identity", 0, 1), ("dct1d", 0, 1), ("dct1d", 3, -1), ("refft", 1, 1)]
)
def test_an_inexact_flip_mirrors_the_band_with_the_sign_of_its_own_share(kind: str, band: int, sign: int) -> None:
    transform = SubbandTransform(2, kind)
    values = stored_values(random_pictures(6, 2), transform, (band,))
    augment = augmenter(transform, (band,), hflip=1, random_crop=False, inexact_flip=True)
    expected = standardised(sign * values[:, :, 1:-1, 1:-1].flip(3), (band,))
    torch.testing.assert_close(augment(values, torch.arange(6), 0), expected, rtol=0, atol=1e-12)
    if sign == -1:
        picture = picture_at(random_pictures(6, 2), (1, 1, True, False), 2)
        truth = standardised(stored_values(picture, transform, (band,)), (band,))
        assert (expected - truth).abs().max() > 1, "it is not the band of the flipped picture"


def test_ten_crops_are_those_of_the_picture() -> None:
    transform, bands, pictures = SubbandTransform(3, "dct2d"), (4, 7), random_pictures(4, 3)
    cut, values = cutter(transform, bands), stored_values(pictures, transform, bands)
    for top, left, mirrored in itertools.product((0, 1, 2), (0, 2), (False, True)):
        expected = stored_values(picture_at(pictures, (top, left, mirrored, False), 3), transform, bands)
        found = cut.box(values, top, left, mirrored)
        torch.testing.assert_close(found, standardised(expected, bands), rtol=0, atol=1e-9)
    with pytest.raises(UsageError, match=r"starts at \(3, 0\).*0 to 2"):
        cut.box(values, 3, 0)


def test_one_channel_and_half_precision() -> None:
    transform, bands = SubbandTransform(2, "dct2d"), (0, 3)
    pictures = random_pictures(8, 2, channels=1)
    quantizer = BandQuantizer(transform, bands)
    half = np.stack([quantizer.split_float16(each.transpose(1, 2, 0).astype(np.uint8)) for each in pictures])
    images = torch.from_numpy(half[..., 0])
    augment = augmenter(transform, bands, channels=1, hflip=1, random_crop=False)
    found = augment(images, torch.arange(8), 0)
    assert found.dtype == torch.float32
    expected = stored_values(picture_at(pictures, (1, 1, True, False), 2), transform, bands)
    torch.testing.assert_close(found.double(), standardised(expected, bands, 1), rtol=0, atol=0.01)


def test_a_constant_band_is_centred_and_stays_finite() -> None:
    transform = SubbandTransform(2, "dct2d")
    bands = BandStandardiser(transform, (3,), np.array([[128.0]]), np.array([[0.0]]))
    images = torch.full((4, 1, SIDE, SIDE), 128, dtype=torch.uint8)
    found = BandCutter(bands, side=SIDE, crop_side=CROP).center(images)
    assert torch.equal(found, torch.zeros(4, 1, CROP, CROP))


def test_values_reach_a_device_without_a_wait() -> None:
    """A stand-in writes down how it is moved: on a CPU not at all, else it is queued from pinned memory."""

    class Values:
        is_cuda = False

        def __init__(self, pinned: bool = False) -> None:
            self.pinned = pinned

        def pin_memory(self) -> "Values":
            return Values(True)

        def to(self, device: torch.device, non_blocking: bool = False) -> tuple[bool, str, bool]:
            return self.pinned, device.type, non_blocking

    assert to_device(Values(), torch.device("cuda")) == (True, "cuda", True)  # type: ignore[reportArgumentType]
    values = torch.arange(6)
    assert to_device(values, torch.device("cpu")) is values


def test_a_crop_larger_than_the_record_is_refused() -> None:
    with pytest.raises(UsageError, match=r"crop is 9 band pixels.*has 7"):
        cutter(SubbandTransform(2, "dct2d"), (0,), crop_side=9)
