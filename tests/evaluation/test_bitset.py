"""Which images were answered rightly, as a text."""

import numpy as np
import pytest

from bandwise.errors import CorruptionError
from bandwise.evaluation.metrics import pack_right, unpack_right


@pytest.mark.parametrize("count", [1, 7, 8, 9, 10_000])
def test_bits_survive_the_text(count):
    right = np.random.default_rng(count).random(count) < 0.7
    assert np.array_equal(unpack_right(pack_right(right), count), right)


def test_bits_of_other_images_are_refused():
    text = pack_right(np.ones(16, bool))
    for count in (8, 15, 17):
        with pytest.raises(CorruptionError, match="those of 16 images"):
            unpack_right(text, count)
    with pytest.raises(CorruptionError, match="are damaged"):
        unpack_right(text + "!", 16)
