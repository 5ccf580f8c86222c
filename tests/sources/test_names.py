"""Names in one buffer, listings of columns, and draws: the same as lists and sorted() give."""

import hashlib
import random

import numpy as np
import pytest

from bandwise.config import SplitConfig
from bandwise.sources import draws
from bandwise.sources.draws import draw_order, smallest_of_each
from bandwise.sources.listing import Entry, Listing
from bandwise.sources.names import Names
from bandwise.sources.pickednames import PickedNames
from bandwise.sources.pieces import PIECE
from bandwise.sources.samples import SampleList, freeze_samples

SAME_START = [b"6327", b"23736"]
WORDS = [b"b", b"", b"a\0", b"a", b"\xff\xfe", b"a/b", b"aa"]


def test_a_sequence_of_bytes():
    names = Names.of(WORDS)
    assert list(names) == WORDS
    assert [names[index] for index in range(-7, 7)] == WORDS * 2
    with pytest.raises(IndexError):
        names[7]
    for cut in (slice(2, 5), slice(5, 2), slice(-3, None), slice(None, None, -2), slice(0, 0)):
        assert list(names[cut]) == WORDS[cut]
        assert names[cut].lengths().tolist() == [len(word) for word in WORDS[cut]]
        assert bytes(names[cut].joined()) == b"".join(WORDS[cut])
    assert names == Names.of(iter(WORDS))
    assert names != Names.of(WORDS[:-1])
    assert names != WORDS
    assert names.index(b"a") == 3
    assert Names.of(names) is names


def test_sorting_and_finding():
    names = Names.of(WORDS)
    assert not names.is_sorted()
    assert list(names.take(names.order())) == sorted(WORDS)
    ordered = names.take(names.order())
    assert ordered.is_sorted()
    assert ordered.first_repeated() is None
    assert [ordered.find(word) for word in sorted(WORDS)] == list(range(7))
    assert [ordered.find(word) for word in (b"0", b"ab", b"\xff\xff", b"a\0\0")] == [None] * 4
    assert Names.of([b"a", b"b", b"b", b"c"]).first_repeated() == b"b"
    assert Names.of([]).find(b"a") is None
    assert Names.of([]).is_sorted()


@pytest.mark.parametrize("bucket", [1, 100, 1 << 19])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_draw_order_is_that_of_whole_digests(width, bucket, monkeypatch):
    """With one byte to compare, most of 2,000 names agree in it and the rest of the digest decides."""
    monkeypatch.setattr(draws, "_BUCKET", bucket)
    words = [f"train/{number}".encode() for number in range(2000)]
    random.Random(0).shuffle(words)
    expected = sorted(words, key=lambda name: hashlib.sha256(b"5 order " + name).digest())
    names = Names.of(words)
    assert list(names.take(draw_order(names, 5, "order", width=width))) == expected
    order = draw_order(PickedNames(names, np.arange(2000)[::-1]), 5, "order", width=width)
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


def test_a_listing_is_a_sequence_of_entries():
    entries = [Entry(b"val/b", 1, 7, "val"), Entry(b"train/a", 0, 9, "train"), Entry(b"train/c", 1, 0, "train")]
    listing = Listing.of(entries)
    assert list(listing) == entries
    assert [listing[index] for index in range(3)] == entries
    assert list(listing[1:]) == entries[1:]
    assert Listing.of(listing) is listing
    with pytest.raises(AssertionError, match="a source lists one name twice"):
        Listing.of([*entries, entries[0]])


class Columns:
    """A source of many images without pictures."""

    name = "columns"
    channels = 3

    def __init__(self, entries, classes, as_listing):
        """Hold entries, as a list or as columns."""
        self.classes = classes
        self.fingerprint = {}
        self._entries = Listing.of(entries) if as_listing else entries

    def entries(self):
        """Return them."""
        return self._entries

    def read(self, path):
        """Refuse: nobody reads here."""
        raise AssertionError(path)


def test_columns_and_lists_freeze_to_the_same_list():
    entries = [
        Entry(f"{split}/{number:05d}".encode(), number % 7, number, split)
        for split, count in (("train", 3000), ("val", 300))
        for number in range(count)
    ]
    classes = tuple("abcdefg")
    first, second = (
        freeze_samples(Columns(entries, classes, as_listing), SplitConfig()) for as_listing in (False, True)
    )
    assert first.sha256() == second.sha256()
    table = first.table()
    assert table.schema == second.table().schema
    assert table.equals(second.table())
    again = SampleList.from_batches([*table[:100].to_batches(), *table[100:].to_batches()], classes)
    assert again.sha256() == first.sha256()
    assert again.counts == first.counts
