"""The portable and the compiled kernel: equal bytes on every picture, and one replaces the other without a word."""

import sys
from types import ModuleType

import numpy as np
import pytest

from bandwise.bands import kernels
from bandwise.bands.kernels import compiled_kernels, flat_memory, fold
from bandwise.bands.quantize import BandQuantizer, band_sums, integer_filters, reference_split
from bandwise.bands.transform import SubbandTransform

PORTABLE = (True, False)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def without_numba(monkeypatch):
    kernels._load.cache_clear()
    monkeypatch.setitem(sys.modules, "bandwise.bands.compiled", None)
    yield
    kernels._load.cache_clear()


def test_numba_is_among_the_tested_packages():
    """Otherwise the comparisons below compare the portable kernel with itself."""
    assert isinstance(compiled_kernels(), ModuleType)
    assert compiled_kernels(portable=True) is None


@pytest.mark.parametrize("portable", PORTABLE, ids=["portable", "compiled"])
def test_every_kernel_gives_the_bytes_of_the_reference(transform, hard_images, portable):
    quantizer = BandQuantizer(transform, portable=portable)
    for image in hard_images:
        assert np.array_equal(quantizer.split(image), reference_split(image, transform))


@pytest.mark.parametrize("portable", PORTABLE, ids=["portable", "compiled"])
def test_one_to_nine_blocks_and_some_bands_into_given_memory(separable, portable):
    bands = range(separable.count)[:: -1 if separable.count == 1 else -3]
    quantizer = BandQuantizer(separable, list(bands), portable=portable)
    for blocks in range(1, 10):
        image = noise(blocks * separable.stride, (10 - blocks) * separable.stride, 3, seed=blocks)
        expected = reference_split(image, separable)[list(bands)]
        records = np.zeros((len(bands), 2, 16 + expected[0].size + 5), np.uint8)
        inside = records[:, 1, 16:-5].reshape(expected.shape)
        assert np.shares_memory(inside, records)
        assert quantizer.split(image, out=inside) is inside
        assert np.array_equal(inside, expected)
        assert not records[:, 0].any()
        assert not records[:, 1, :16].any()
        assert not records[:, 1, -5:].any()


def test_results_that_do_not_lie_in_one_piece_are_written_too():
    transform, image = SubbandTransform(4, "dct2d"), noise(16, 24, 3)
    for out in (
        np.zeros((16, 6, 4, 3), np.uint8).transpose(0, 2, 1, 3),
        np.zeros((16, 4, 6, 4), np.uint8)[..., :3],
        np.zeros((16, 4, 6, 3), np.uint8)[::-1],
    ):
        assert flat_memory(out) is None
        BandQuantizer(transform).split(image, out=out)
        assert np.array_equal(out, reference_split(image, transform))


@pytest.mark.parametrize("portable", PORTABLE, ids=["portable", "compiled"])
def test_read_only_and_strided_pictures(portable):
    transform, image = SubbandTransform(2, "hadamard"), noise(12, 12, 3)
    image.flags.writeable = False
    for view in (image, image[::-1, ::-1], image[:, 2:10], image.transpose(1, 0, 2), image[:, :, ::-1]):
        stored = BandQuantizer(transform, portable=portable).split(view)
        assert np.array_equal(stored, reference_split(view.copy(), transform))


@pytest.mark.parametrize("channels", [1, 3])
def test_sums_of_both_kernels_are_equal(channels):
    whole = noise(5, 7, 9, channels + 1)
    for stored in (np.ascontiguousarray(whole[..., :channels]), whole[..., :channels], whole[:1, :, :, :channels]):
        expected, found = (band_sums(stored, portable=portable) for portable in PORTABLE)
        assert found[0].tolist() == expected[0].tolist() == stored.sum(axis=(1, 2), dtype=int).tolist()
        assert found[1].tolist() == expected[1].tolist() == (stored.astype(int) ** 2).sum(axis=(1, 2)).tolist()
    whole.flags.writeable = False
    assert band_sums(whole)[0].tolist() == whole.sum(axis=(1, 2), dtype=int).tolist()
    tall = np.full((1, 1 << 16, 1, 1), 255, np.uint8)
    for portable in PORTABLE:
        assert band_sums(tall, portable=portable)[1].item() == (1 << 16) * 255**2


def test_separable_filters_of_an_even_stride_are_folded(separable):
    """That they are folded rightly is in the bytes of the compiled kernel."""
    filters = integer_filters(separable).astype(np.float32)
    assert (fold(filters, separable.stride) is not None) == (separable.stride % 2 == 0)


def test_one_filter_without_symmetry_is_not_folded():
    filters = integer_filters(SubbandTransform(4, "dct2d")).astype(np.float32)
    assert fold(filters, 4) is not None
    filters[7, 3] += 1
    assert fold(filters, 4) is None


def test_without_numba_the_portable_kernel_takes_over(without_numba):
    assert compiled_kernels() is None
    transform, image = SubbandTransform(2, "dct2d"), noise(4, 6, 3)
    assert np.array_equal(BandQuantizer(transform).split(image), reference_split(image, transform))
