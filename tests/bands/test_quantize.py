from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandwise.bands.quantize import (
    BandQuantizer,
    integer_filters,
    offsets,
    reference_split,
    scales,
)
from bandwise.bands.transform import SubbandTransform, split_phases


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def columns(image, stride):
    """(n, pixels * channels) float32: the phases as a plain matrix."""
    return split_phases(image.transpose(2, 0, 1).astype(np.float32), stride).reshape(stride**2, -1)


def stored_shape(matrix, image, stride):
    height, width, channels = image.shape
    return matrix.reshape(-1, channels, height // stride, width // stride).transpose(0, 2, 3, 1)


def test_the_reference_is_the_definition_in_python_integers(transform):
    stride, count = transform.stride, transform.count
    image = noise(stride, 2 * stride, 3, seed=stride)
    stored = reference_split(image, transform)
    filters, added = integer_filters(transform).tolist(), offsets(transform).tolist()
    for band in range(count):
        for col in range(2):
            for colour in range(3):
                total = sum(
                    filters[band][phase] * int(image[phase // stride, col * stride + phase % stride, colour])
                    for phase in range(count)
                )
                # Rounded half up, by Python's unlimited integers.
                expected = min(255, max(0, (total + 2**15) // 2**16 + added[band]))
                assert stored[band, 0, col, colour] == expected


def test_ordinary_float_filters_do_not_give_equal_bytes():
    """The negative control: without integer filters, ties go either way."""
    transform, image = SubbandTransform(2, "dct2d"), noise(64, 64, 3)
    filters = (transform.matrix / transform.stride).astype(np.float32)
    sums = filters @ columns(image, 2) + offsets(transform).astype(np.float32)[:, None]
    for rounding in (np.rint(sums), np.rint(sums - np.float32(1e-5))):
        differ = stored_shape(rounding, image, 2) != reference_split(image, transform)
        assert differ.mean() > 0.05


def test_no_partial_sum_leaves_float32s_exact_integers(transform):
    """Any partial sum lies between the sum of its negative and of its positive terms, rounding constant included."""
    filters = integer_filters(transform).astype(np.int64)
    added = offsets(transform) * 2**16 + 2**15
    highest = 255 * np.where(filters > 0, filters, 0).sum(axis=1) + added
    lowest = 255 * np.where(filters < 0, filters, 0).sum(axis=1)
    assert highest.max() <= 2**24
    assert lowest.min() >= -(2**24)


def assert_never_clipped(transform):
    filters = integer_filters(transform).astype(np.int64)
    for band in range(transform.count):
        row = filters[band]
        if transform.has_mean(band):
            assert row.min() >= 0
            assert 2 * 255 * row.sum() <= 511 * 2**16
        else:
            # Highest and lowest value of the band: white on the positive filter taps, or on the negative ones.
            assert 255 * row[row > 0].sum() <= 127.5 * 2**16
            assert 255 * row[row < 0].sum() >= -127.5 * 2**16


def test_no_picture_can_be_clipped(transform):
    assert_never_clipped(transform)


@given(st.integers(1, 8), st.integers(0, 2**63))
def test_no_picture_can_be_clipped_by_any_random_transform(stride, seed):
    assert_never_clipped(SubbandTransform(stride, "random", seed=seed))


def test_clipping_would_be_counted():
    """The negative control: filters twice as strong leave the range on both sides."""
    transform = SubbandTransform(4, "dct2d")
    quantizer = BandQuantizer(transform)
    quantizer._filters[:, :-1] *= 2
    white = np.full((4, 4, 1), 255, np.uint8)
    assert quantizer.count_clipped(white) == 1
    signs = ((transform.matrix[10] > 0).reshape(4, 4, 1) * 255).astype(np.uint8)
    assert quantizer.count_clipped(signs) >= 1
    assert quantizer.count_clipped(255 - signs) >= 1


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_hadamard_reaches_both_ends_and_loses_half_a_step_at_most(stride):
    transform = SubbandTransform(stride, "hadamard")
    for band in range(1, transform.count):
        image = ((transform.matrix[band] > 0).reshape(stride, stride, 1) * 255).astype(np.uint8)
        exact = transform.forward(image[:, :, 0])[band, 0, 0] / stride
        assert exact == pytest.approx(127.5, abs=1e-12)
        # 127.5 + 128 rounds up to 256, which becomes 255: still only half a step away.
        assert BandQuantizer(transform, [band]).split(image).item() == 255
        assert BandQuantizer(transform, [band]).split(255 - image).item() == 1


@pytest.mark.parametrize("level", [0, 1, 127, 128, 254, 255])
def test_a_uniform_picture_has_its_level_in_band_0_and_nothing_elsewhere(transform, level):
    stored = BandQuantizer(transform).split(np.full((transform.stride, transform.stride, 1), level, np.uint8))
    expected = [level if transform.has_mean(band) else 128 for band in range(transform.count)]
    assert stored.reshape(-1).tolist() == expected


def test_dequantize_is_within_half_a_step_of_the_true_coefficients(transform, hard_images):
    quantizer = BandQuantizer(transform)
    # A filter coefficient is off by up to half of 2^-16; n of them, times 255 grey levels.
    tolerance = 0.5 + transform.count * 255 * 2.0**-17
    for image in hard_images:
        exact = transform.forward(image.transpose(2, 0, 1)).transpose(0, 2, 3, 1)
        error = (quantizer.dequantize(quantizer.split(image)) - exact) / scales(transform)[:, None, None, None]
        assert np.abs(error).max() <= tolerance


@pytest.mark.parametrize("stride", range(1, 9))
def test_identity_is_lossless(stride):
    transform, image = SubbandTransform(stride, "identity"), noise(3 * stride, 2 * stride, 3)
    stored = BandQuantizer(transform).split(image)
    assert np.array_equal(stored.transpose(0, 3, 1, 2), split_phases(image.transpose(2, 0, 1), stride))
    back = transform.inverse(BandQuantizer(transform).dequantize(stored).transpose(0, 3, 1, 2))
    assert np.array_equal(back.transpose(1, 2, 0), image)
    # With stride 1 the band is the picture, and not a copy of it.
    assert np.shares_memory(stored, image) == (stride == 1)


def test_float16_is_the_exact_value_rounded_once(transform):
    image = noise(transform.stride, 2 * transform.stride, 1)
    stored = BandQuantizer(transform).split_float16(image)
    phases = split_phases(image[:, :, 0].astype(int), transform.stride).reshape(transform.count, -1)
    sums = integer_filters(transform).astype(np.int64) @ phases
    assert stored.dtype == np.float16
    for value, total in zip(stored.reshape(-1).tolist(), sums.reshape(-1).tolist(), strict=True):
        exact = Fraction(total, 2**16)
        spacing = Fraction(float(np.spacing(np.float16(abs(value)))))
        assert abs(Fraction(value) - exact) <= spacing / 2


def test_some_bands_in_the_order_asked_for():
    transform, image = SubbandTransform(4, "dct2d"), noise(16, 12, 3)
    expected = reference_split(image, transform)[[7, 0, 3]]
    quantizer = BandQuantizer(transform, [7, 0, 3])
    kept = quantizer.split(image)
    quantizer.split(noise(16, 12, 3, seed=1))
    assert np.array_equal(kept, expected), "a result is the caller's"
    np.testing.assert_allclose(
        quantizer.dequantize(quantizer.split(image)), (expected - [[[[128]]], [[[0]]], [[[128]]]]) * 4
    )


def test_scales_and_offsets():
    assert scales(SubbandTransform(4, "dct2d")).tolist() == [4.0] * 16
    assert scales(SubbandTransform(4, "identity")).tolist() == [1.0] * 16
    assert offsets(SubbandTransform(2, "refft")).tolist() == [0, 128, 128, 128]
    assert offsets(SubbandTransform(2, "identity")).tolist() == [0, 0, 0, 0]
