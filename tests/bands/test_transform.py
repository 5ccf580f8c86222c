import hashlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from bandwise.bands.quantize import integer_filters
from bandwise.bands.transform import (
    HADAMARD_STRIDES,
    KINDS,
    MAX_STRIDE,
    SubbandTransform,
    merge_phases,
    split_phases,
)

STRIDES = range(1, MAX_STRIDE + 1)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def transforms(draw, kinds=KINDS):
    kind = draw(st.sampled_from(kinds))
    stride = draw(st.sampled_from(HADAMARD_STRIDES if kind == "hadamard" else tuple(STRIDES)))
    return SubbandTransform(stride, kind, seed=draw(st.integers(0, 2**32)))


@pytest.mark.parametrize("stride", STRIDES)
def test_phases_are_strided_slices_and_merge_undoes_them(stride):
    image = np.arange(2 * 3 * stride * stride).reshape(2 * stride, 3 * stride)
    phases = split_phases(image, stride)
    for row in range(stride):
        for col in range(stride):
            assert np.array_equal(phases[row * stride + col], image[row::stride, col::stride])
    assert np.array_equal(merge_phases(phases, stride), image)


@pytest.mark.parametrize("stride", STRIDES)
def test_dct1d_is_scipys_dct_across_the_phases(stride):
    image = picture(4 * stride, 3 * stride)
    expected = scipy.fft.dct(split_phases(image, stride), type=2, norm="ortho", axis=0)
    np.testing.assert_allclose(SubbandTransform(stride, "dct1d").forward(image), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", STRIDES)
def test_dct2d_is_scipys_dctn_of_every_block(stride):
    image = picture(4 * stride, 3 * stride)
    bands = SubbandTransform(stride, "dct2d").forward(image)
    for i in range(4):
        for j in range(3):
            block = image[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            expected = scipy.fft.dctn(block, type=2, norm="ortho").reshape(-1)
            np.testing.assert_allclose(bands[:, i, j], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", HADAMARD_STRIDES)
def test_hadamard_rows_are_scipys_in_order_of_sign_changes(stride):
    natural = scipy.linalg.hadamard(stride)
    by_changes = {int((np.diff(row) != 0).sum()): row for row in natural}
    matrix = SubbandTransform(stride, "hadamard").matrix
    for v in range(stride):
        for h in range(stride):
            expected = np.kron(by_changes[v], by_changes[h]) / stride
            np.testing.assert_allclose(matrix[v * stride + h], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("stride", STRIDES)
def test_refft_is_the_real_part_of_numpys_fft_and_pairs_its_bands(stride):
    image, count = picture(2 * stride, 3 * stride), stride**2
    bands = SubbandTransform(stride, "refft").forward(image)
    expected = np.fft.fft(split_phases(image, stride), axis=0).real / stride
    np.testing.assert_allclose(bands, expected, rtol=0, atol=1e-12)
    for band in range(1, count):
        np.testing.assert_allclose(bands[band], bands[count - band], rtol=0, atol=1e-12)
    assert np.linalg.matrix_rank(SubbandTransform(stride, "refft").matrix) == count // 2 + 1


@given(transforms(kinds=("random",)))
def test_random_has_a_constant_first_row_and_is_orthonormal(transform):
    np.testing.assert_allclose(transform.matrix[0], 1 / transform.stride, rtol=0, atol=1e-15)
    np.testing.assert_allclose(transform.matrix @ transform.matrix.T, np.eye(transform.count), rtol=0, atol=1e-13)


def test_random_depends_on_its_seed_and_only_on_it():
    first, second = SubbandTransform(4, "random", seed=1), SubbandTransform(4, "random", seed=2)
    assert np.array_equal(first.matrix, SubbandTransform(4, "random", seed=1).matrix)
    assert not np.allclose(first.matrix[1:], second.matrix[1:])
    assert SubbandTransform(4, "dct2d", seed=1).matrix is not None
    assert np.array_equal(SubbandTransform(4, "dct2d", seed=1).matrix, SubbandTransform(4, "dct2d", seed=2).matrix)


def test_forward_is_the_plain_sum_over_phases(transform):
    stride = transform.stride
    image = picture(2, 3 * stride, 2 * stride)
    bands = transform.forward(image)
    for band in range(0, transform.count, 3):
        expected = np.zeros((2, 3, 2))
        for phase in range(transform.count):
            row, col = divmod(phase, stride)
            expected += transform.matrix[band, phase] * image[:, row::stride, col::stride]
        np.testing.assert_allclose(bands[band], expected, rtol=0, atol=1e-12)


def test_inverse_undoes_forward_and_energy_is_kept(invertible):
    for multiple in range(1, 10):
        image = picture(3, multiple * invertible.stride, (10 - multiple) * invertible.stride, seed=multiple)
        bands = invertible.forward(image)
        np.testing.assert_allclose(invertible.inverse(bands), image, rtol=0, atol=1e-12)
        assert np.sum(bands**2) == pytest.approx(np.sum(image**2), rel=1e-12)


@given(transforms(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (1,), (3,), (2, 3)]))
def test_torch_and_numpy_agree(transform, rows, cols, lead):
    image = picture(*lead, rows * transform.stride, cols * transform.stride)
    bands = transform.forward(image)
    assert bands.shape == (transform.count, *lead, rows, cols)
    of_torch = transform.forward(torch.from_numpy(image))
    np.testing.assert_allclose(of_torch.numpy(), bands, rtol=0, atol=1e-12)
    if transform.invertible:
        np.testing.assert_allclose(transform.inverse(of_torch).numpy(), image, rtol=0, atol=1e-12)


def test_floating_types_are_kept_and_integers_become_float64():
    transform = SubbandTransform(2, "dct2d")
    assert transform.forward(np.zeros((2, 2), np.float32)).dtype == np.float32
    assert transform.forward(np.zeros((2, 2), np.uint8)).dtype == np.float64
    assert transform.forward(torch.zeros(2, 2)).dtype == torch.float32
    assert transform.forward(torch.zeros(2, 2, dtype=torch.uint8)).dtype == torch.float64
    # 200 + 200 does not fit in a byte; a sum in the type of the input would wrap round.
    assert transform.forward(np.full((2, 2), 200, np.uint8))[0, 0, 0] == pytest.approx(400, abs=1e-12)


@pytest.mark.parametrize("kind", ["dct1d", "dct2d", "random", "refft"])
@pytest.mark.parametrize("stride", [2, 3, 4, 6])
def test_band_0_is_the_stride_times_the_box_downsampled_image(kind, stride):
    images = torch.randn(2, 3, 4 * stride, 5 * stride, dtype=torch.float64)
    bands = SubbandTransform(stride, kind).forward(images)
    torch.testing.assert_close(bands[0], stride * torch.nn.functional.avg_pool2d(images, stride), rtol=0, atol=1e-12)


def test_only_filters_with_a_mean_answer_to_a_uniform_image(transform):
    bands = transform.forward(np.ones((transform.stride, transform.stride)))[:, 0, 0]
    answers = [bool(abs(value) > 1e-9) for value in bands]
    assert answers == [transform.has_mean(band) for band in range(transform.count)]


def test_dct1d_order_is_not_spatial_frequency():
    """At stride 4, band 7 is mostly the lowest horizontal frequency and band 1 the lowest vertical one."""
    mixing = SubbandTransform(4, "dct1d").matrix @ SubbandTransform(4, "dct2d").matrix.T
    share = mixing**2
    assert share[1].argmax() == 1 * 4 + 0
    assert share[1].max() == pytest.approx(0.95, abs=0.005)
    assert share[7].argmax() == 0 * 4 + 1
    assert share[8, 0 * 4 + 2] == pytest.approx(1, abs=1e-12)
    assert share[12].argmax() == 3 * 4 + 3


def test_integer_filters_are_the_ones_that_stores_were_written_with(transform):
    """The bytes of a store follow from these numbers. If this fails, the format has changed: give it a new version."""
    digest = hashlib.sha256(integer_filters(transform).astype("<i4").tobytes()).hexdigest()[:16]
    strides = HADAMARD_STRIDES if transform.kind == "hadamard" else tuple(STRIDES)
    assert digest == GOLDEN[transform.kind].split()[strides.index(transform.stride)]


def test_splitting_needs_no_torch():
    program = "import sys, bandwise.bands.quantize, bandwise.bands.transform; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


GOLDEN = {
    "dct1d": "6b1e73a0094b7b81 f3d5c6aa74403c25 357a3a6e1e0c3d1e 3e29b18752cadd59"
    " 18e49d1168bffded bdfd21fe4cf354b2 4c606ddd7838371b ec6f9b475c358fbc",
    "dct2d": "6b1e73a0094b7b81 b6208eeabbffb5a2 57418a97f060cf92 d658606a93444ccf"
    " ee5ac15d0fe6d28d b10f94ee64fb8410 11598470d116c69c 185821bee0f2f2d4",
    "hadamard": "6b1e73a0094b7b81 b6208eeabbffb5a2 cc375c83ae95a4d3 5117717af8e49177",
    "identity": "6b1e73a0094b7b81 61d5065c5364cfc6 0c30fb45cdc9f322 f9b8212075ba9859"
    " c020e060fc750cc8 a219b268ae3b8d48 c79d6b243cd6323e 9c7802b69e5f0681",
    "random": "6b1e73a0094b7b81 fe2580a9c9f98c7a 67b5da0cda91142a 441bee68179000b8"
    " 51f01832e3fad2b7 6941d9b798b560f5 7aecce1d6aff8505 046563cee6b524a7",
    "refft": "6b1e73a0094b7b81 a9deca6d36191204 3fdfd31e4c99acfa da131587f26d2a00"
    " 7d37b3566bb3b55b 84f8d8792f84f128 39e07087e84e2f9c f9c43f56944b3cf4",
}
"""By stride, the first 64 bits of each digest."""
