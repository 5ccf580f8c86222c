"""Long columns in pieces: the same as numpy gives at once."""

import numpy as np
import pytest

from bandwise.sources.pieces import PIECE, counts_of, gather, narrowed, pieces, where

COUNTS = [0, 1, PIECE, PIECE + 1, 2 * PIECE + 77]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
def test_pieces_cover_every_row_once(count):
    parts = [list(range(count))[part] for part in pieces(count, 5)]
    assert [row for part in parts for row in part] == list(range(count))
    assert all(1 <= len(part) <= 5 for part in parts)


@pytest.mark.parametrize("count", COUNTS)
def test_where_gather_and_counts(count):
    rng = np.random.default_rng(count)
    mask, labels = rng.random(count) < 0.3, rng.integers(0, 7, count).astype(np.int32)
    found = where(mask)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.flatnonzero(mask))
    assert np.array_equal(counts_of(labels, 9), np.bincount(labels, minlength=9))
    for positions in (found, rng.permutation(count)):
        picked = gather(labels, positions)
        assert picked.dtype == labels.dtype
        assert np.array_equal(picked, labels[positions])


@pytest.mark.parametrize("number", [0, (1 << 31) - 1, -(1 << 31)])
def test_numbers_that_fit_are_narrow(number):
    found = narrowed(np.array([1, number], np.int64))
    assert (found.dtype, found.tolist()) == (np.int32, [1, number])
    assert narrowed(found) is found
    assert narrowed(np.zeros(0, np.int64)).dtype == np.int32


@pytest.mark.parametrize("number", [1 << 31, -(1 << 31) - 1, 1 << 62])
def test_numbers_that_do_not_fit_stay_as_they_are(number):
    assert narrowed(np.array([1, number], np.int64)).tolist() == [1, number]
