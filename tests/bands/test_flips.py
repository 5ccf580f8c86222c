import numpy as np
import pytest

from bandwise.bands.quantize import BandQuantizer
from bandwise.bands.transform import SubbandTransform, flip_group, flip_matrix

AXES = [("horizontal", -1), ("vertical", -2)]


def picture(transform, seed=0, rows=4, cols=6):
    return np.random.default_rng(seed).uniform(0, 255, (3, rows * transform.stride, cols * transform.stride))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("axis", "where"), AXES)
def test_flipping_the_picture_is_flipping_and_mixing_the_bands(invertible, axis, where):
    image = picture(invertible)
    mixed = np.tensordot(flip_matrix(invertible, axis), np.flip(invertible.forward(image), where), axes=1)
    close(invertible.forward(np.flip(image, where)), mixed)


@pytest.mark.parametrize(("axis", "where"), AXES)
def test_dct2d_and_hadamard_bands_flip_to_plus_or_minus_themselves(separable, axis, where):
    image, stride = picture(separable), separable.stride
    flipped = separable.forward(np.flip(image, where))
    bands = separable.forward(image)
    for band in range(separable.count):
        frequency = band % stride if axis == "horizontal" else band // stride
        sign = (-1) ** frequency
        close(flipped[band], sign * np.flip(bands[band], where))
        assert flip_group(separable, [band], axis).tolist() == [[sign]]


@pytest.mark.parametrize(("axis", "where"), AXES)
def test_stored_bytes_of_a_flipped_picture_are_the_mirrored_bytes_to_one_step(separable, axis, where):
    image = np.random.default_rng(0).integers(0, 256, (8 * separable.stride, 8 * separable.stride, 1), dtype=np.uint8)
    quantizer = BandQuantizer(separable)
    stored, flipped = (quantizer.split(x).astype(int) for x in (image, np.flip(image, where + 2)))
    for band in range(separable.count):
        mirrored = np.flip(stored[band], where + 2)
        if flip_group(separable, [band], axis)[0, 0] < 0:
            mirrored = 256 - mirrored
        # The only difference is a tie, x.5, which is rounded up on both sides of zero.
        assert np.abs(flipped[band] - mirrored).max() <= 1


@pytest.mark.parametrize(("axis", "where"), AXES)
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_identity_phases_are_exchanged_by_a_flip(stride, axis, where):
    transform = SubbandTransform(stride, "identity")
    matrix = flip_matrix(transform, axis)
    for phase in range(transform.count):
        row, col = divmod(phase, stride)
        other = row * stride + stride - 1 - col if axis == "horizontal" else (stride - 1 - row) * stride + col
        assert matrix[phase].tolist() == np.eye(transform.count)[other].tolist()
        assert (flip_group(transform, [phase], axis) is None) == (phase != other)
        pair = [phase] if phase == other else [phase, other]
        image = picture(transform)
        bands, flipped = transform.forward(image)[pair], transform.forward(np.flip(image, where))[pair]
        close(flipped, np.tensordot(flip_group(transform, pair, axis), np.flip(bands, where), axes=1))


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_a_flip_mixes_dct1d_bands_that_agree_up_to_sign_modulo_two_strides(stride, axis):
    """So multiples of the stride flip alone, and the smallest group with another band has about a stride of them."""
    transform = SubbandTransform(stride, "dct1d")
    for band in range(transform.count):
        residues = {band % (2 * stride), -band % (2 * stride)}
        group = [other for other in range(transform.count) if other % (2 * stride) in residues]
        assert (flip_group(transform, [band], axis) is not None) == (band % stride == 0)
        assert flip_group(transform, group, axis) is not None
        assert band % stride == 0 or flip_group(transform, group[:-1], axis) is None


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_a_group_flips_exactly_if_its_rows_of_the_flip_matrix_stay_inside_it(invertible, axis):
    matrix = flip_matrix(invertible, axis)
    rng = np.random.default_rng(invertible.stride)
    groups = [list(range(invertible.count)), [0]]
    groups += [sorted(rng.choice(invertible.count, size=size, replace=False)) for size in range(1, invertible.count, 5)]
    for group in groups:
        outside = np.delete(matrix[group], group, axis=1)
        mixing = flip_group(invertible, group, axis)
        if outside.size and np.abs(outside).max() > 1e-9:
            assert mixing is None
        else:
            close(mixing, matrix[np.ix_(group, group)])


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_refft_flips_in_band_0_but_not_as_a_whole(axis):
    transform = SubbandTransform(4, "refft")
    close(flip_group(transform, [0], axis), [[1]])
    assert flip_group(transform, [1], axis) is None
    assert flip_group(transform, range(16), axis) is None


def test_shifting_by_whole_blocks_shifts_every_band(transform):
    image = picture(transform)
    shifted = np.roll(image, (2 * transform.stride, -3 * transform.stride), axis=(1, 2))
    close(transform.forward(shifted), np.roll(transform.forward(image), (2, -3), axis=(-2, -1)))
