"""Draws by hash: the order of whole digests, and the first of each class in it."""

import hashlib
import random

import numpy as np
import pytest

from bandwise.sources import hashdraw
from bandwise.sources.columns import PIECE, Names, PickedNames
from bandwise.sources.hashdraw import draw_order, smallest_of_each

SAME_START = [b"6327", b"23736"]


@pytest.mark.parametrize("bucket", [1, 100, 1 << 19])
def test_draw_order_is_that_of_whole_digests(bucket, monkeypatch):
    monkeypatch.setattr(hashdraw, "_BUCKET", bucket)
    words = [f"train/{number}".encode() for number in range(2000)]
    random.Random(0).shuffle(words)
    expected = sorted(words, key=lambda name: hashlib.sha256(b"5 order " + name).digest())
    names = Names.of(words)
    assert list(names.take(draw_order(names, 5, "order"))) == expected
    order = draw_order(PickedNames(names, np.arange(2000)[::-1]), 5, "order")
    assert [words[::-1][place] for place in order] == expected


def test_names_that_agree_in_all_bytes_kept_are_ordered_by_the_rest():
    """Found by trying: the digests of these two begin with the same four bytes, and the fifth decides."""
    first, second = SAME_START
    digests = [hashlib.sha256(b"0 order " + name).digest() for name in SAME_START]
    assert digests[0][:4] == digests[1][:4]
    assert digests[0] < digests[1]
    for names in (SAME_START, SAME_START[::-1], [second, b"x", first]):
        found = [names[place] for place in draw_order(Names.of(names), 0, "order")]
        assert found.index(first) < found.index(second)


@pytest.mark.parametrize("count", [0, 1])
def test_an_order_of_few_names(count):
    assert draw_order(Names.of([b"a"] * count), 0, "order").tolist() == [0] * count


def test_smallest_of_each():
    labels = np.array([2, 0, 2, 2, 0, 4])
    order = np.array([3, 4, 5, 0, 1, 2])
    chosen = smallest_of_each(order, labels, np.array([1, 7, 2, 0, 0]))
    assert np.flatnonzero(chosen).tolist() == [0, 3, 4]


def test_smallest_of_each_counts_on_from_one_piece_to_the_next():
    count, rng = PIECE * 2 + 5, np.random.default_rng(0)
    order, labels = rng.permutation(count).astype(np.int32), rng.integers(0, 50, count).astype(np.int32)
    wanted = rng.integers(0, 15_000, 50)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    expected = np.zeros(count, bool)
    for label in range(50):
        members = np.flatnonzero(labels == label)
        expected[members[np.argsort(place[members])[: wanted[label]]]] = True
    assert wanted.max() > np.bincount(labels).max()
    assert np.array_equal(smallest_of_each(order, labels, wanted), expected)
