"""The compiled crop, mirror and standardisation: the bits of the portable one, for every draw."""

import numpy as np
import pytest
import torch
from tests.augment.exact import moments

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.standardise import BandStandardiser
from bandwise.bands import kernels
from bandwise.bands.transform import SubbandTransform
from bandwise.config import AugmentConfig

SIDE, CROP, BATCH = 12, 9, 64


def augmenter(portable, bands, channels=3, **options):
    mean, std = moments(bands)
    standardiser = BandStandardiser(SubbandTransform(4, "dct2d"), bands, mean[:, :channels], std[:, :channels])
    cutter = BandCutter(standardiser, side=SIDE, crop_side=CROP, portable=portable, **options)
    return BandAugment(AugmentConfig(hflip=0.5, vflip=0.5, reprob=0.3), cutter, seed=3)


def stored(bands, channels=3, seed=0):
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (BATCH, SIDE, SIDE, len(bands) * channels), dtype=np.uint8)
    return torch.from_numpy(records).permute(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bands", [(0,), (7,), (5, 0, 14), tuple(range(16))])
def test_both_kernels_give_the_same_bits(bands, channels):
    images, ids = stored(bands, channels), torch.arange(100, 100 + BATCH)
    for epoch in range(3):
        expected, found = (augmenter(portable, bands, channels)(images, ids, epoch) for portable in (True, False))
        assert found.shape == expected.shape == (BATCH, len(bands) * channels, CROP, CROP)
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(found, expected)


def test_planes_that_lie_apart_are_cut_too():
    images, ids = stored((0,)).contiguous(), torch.arange(BATCH)
    assert not images.is_contiguous(memory_format=torch.channels_last)
    expected, found = (augmenter(portable, (0,))(images, ids, 1) for portable in (True, False))
    assert torch.equal(found, expected)


def test_results_stay_unless_they_may_be_overwritten():
    images, ids = stored((0,)), torch.arange(BATCH)
    keeping, reusing = augmenter(False, (0,)), augmenter(False, (0,), reuse=True)
    first, again = keeping(images, ids, 0), reusing(images, ids, 0)
    assert torch.equal(first, again)
    copy, second = first.clone(), keeping(images, ids, 1)
    other = reusing(images, ids, 1)
    assert torch.equal(first, copy)
    assert torch.equal(second, other)
    assert other.data_ptr() == again.data_ptr()
    assert torch.equal(reusing(images[:5], ids[:5], 1), second[:5])


def test_float_values_take_the_portable_way():
    images, ids = stored((0, 1)), torch.arange(BATCH)
    half = images.half()
    expected, found = (augmenter(portable, (0, 1))(half, ids, 0) for portable in (True, False))
    assert torch.equal(found, expected)


def test_the_compiled_cut_goes_with_the_compiled_split(monkeypatch):
    monkeypatch.setattr(kernels, "_load", lambda: None)
    images, ids = stored((0,)), torch.arange(BATCH)
    assert torch.equal(augmenter(False, (0,))(images, ids, 0), augmenter(True, (0,))(images, ids, 0))


@pytest.mark.parametrize("channels", [1, 3])
def test_bands_are_put_side_by_side_as_by_numpy(channels):
    random = np.random.default_rng(0)
    records = random.integers(0, 256, (5, 16 + 4 * 6 * channels), dtype=np.uint8)
    records.flags.writeable = False
    pixels = records[:, 16:].reshape(5, 4, 6, channels)
    assert np.shares_memory(pixels, records)
    out = np.full((5, 4, 6, 4 * channels), 7, np.uint8)
    kernels.compiled_kernels().put_channels(pixels, out, 2 * channels)
    expected = np.full_like(out, 7)
    expected[..., 2 * channels : 3 * channels] = pixels
    assert np.array_equal(out, expected)
