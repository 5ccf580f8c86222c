"""Ranks and bits, against scipy and numpy."""

import math

import numpy as np
import pytest
from scipy import stats
from tools.statistics import rank_correlation, spread

from bandwise.errors import CorruptionError
from bandwise.evaluation.bitset import pack, unpack


@pytest.mark.parametrize("seed", range(8))
def test_rank_correlation_is_scipys(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 6, size=(2, 12)).astype(float)
    assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second)[0])


def test_a_constant_has_no_rank_correlation():
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 10_000])
def test_bits_survive_the_text(count):
    right = np.random.default_rng(count).random(count) < 0.7
    assert np.array_equal(unpack(pack(right), count), right)


def test_bits_of_other_images_are_refused():
    text = pack(np.ones(16, bool))
    for count in (8, 15, 17):
        with pytest.raises(CorruptionError, match="those of 16 images"):
            unpack(text, count)
    with pytest.raises(CorruptionError, match="are damaged"):
        unpack(text + "!", 16)


def test_spread_by_hand():
    assert spread([1.0]) == "1.00"
    assert spread([1.0, 3.0], digits=1) == "2.0 ± 1.4"
