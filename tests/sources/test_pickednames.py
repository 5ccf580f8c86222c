"""Some of many names in another order: a sequence like the list of them."""

import random

import numpy as np
import pytest

from bandwise.sources.names import Names
from bandwise.sources.pickednames import PickedNames

WORDS = [b"b", b"", b"a\0", b"a", b"\xff\xfe", b"a/b", b"aa"]


def test_a_sequence_of_bytes():
    # Names that begin inside a buffer, as those of a slice do.
    names = Names.of([b"before", *WORDS, b"behind"])[1:8]
    for seed in range(5):
        order = random.Random(seed).choices(range(7), k=10)
        expected, picked = [WORDS[place] for place in order], PickedNames(names, np.array(order))
        assert list(picked) == expected
        assert [picked[place] for place in range(-10, 10)] == expected * 2
        with pytest.raises(IndexError):
            picked[10]
        for cut in (slice(None), slice(2, 5), slice(5, 2), slice(-3, None), slice(None, None, -2)):
            part = picked[cut]
            assert len(part) == len(expected[cut])
            assert list(part) == list(part.packed()) == expected[cut]
            assert part.lengths().tolist() == [len(word) for word in expected[cut]]
            assert bytes(part.packed().joined()) == b"".join(expected[cut])
        assert picked.index(expected[4]) == expected.index(expected[4])


def test_no_names():
    picked = PickedNames(Names.of([]), np.zeros(0, np.int64))
    assert (list(picked), len(picked.packed()), len(picked.lengths())) == ([], 0, 0)


def test_names_that_are_packed_stay():
    names = Names.of(WORDS)
    assert names.packed() is names


def test_many_names_are_gathered_in_chunks():
    positions = np.random.default_rng(0).integers(0, 7, 150_000)
    assert list(PickedNames(Names.of(WORDS), positions)) == [WORDS[place] for place in positions.tolist()]
