import numpy as np
import pytest

from bandwise.bands.quantize import band_sums


@pytest.mark.parametrize("channels", [1, 3])
def test_band_sums_are_the_plain_sums(channels):
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 9, channels), dtype=np.uint8)
    total, squares, count = band_sums(stored)
    wide = stored.astype(object)
    assert total.tolist() == wide.sum(axis=(1, 2)).tolist()
    assert squares.tolist() == (wide**2).sum(axis=(1, 2)).tolist()
    assert (count, total.dtype, squares.dtype) == (63, np.int64, np.int64)


def test_band_sums_do_not_overflow_where_they_are_allowed():
    tall = np.full((1, 1 << 16, 1, 1), 255, np.uint8)
    assert band_sums(tall)[1].item() == (1 << 16) * 255**2
    with pytest.raises(ValueError, match=r"uint8 \(bands, height, width, channels\) is needed"):
        band_sums(np.zeros((1, (1 << 16) + 1, 1, 1), np.uint8))
    with pytest.raises(ValueError, match="stored bands are float32"):
        band_sums(np.zeros((1, 2, 2, 1), np.float32))
