"""Long columns and listings of them: the same as numpy, lists and sorted() give at once."""

import random

import numpy as np
import pytest

from bandwise.sources.columns import (
    PIECE,
    ColumnBuilder,
    Names,
    NamesBuilder,
    PickedNames,
    TableBuilder,
    counts_of,
    gather,
    narrowed,
    true_positions,
)
from bandwise.sources.source import Entry, Listing

WORDS = [b"b", b"", b"a\0", b"a", b"\xff\xfe", b"a/b", b"aa"]


@pytest.mark.parametrize("count", [0, 1, PIECE, PIECE + 1, 2 * PIECE + 77])
def test_positions_gather_and_counts(count):
    rng = np.random.default_rng(count)
    mask, labels = rng.random(count) < 0.3, rng.integers(0, 7, count).astype(np.int32)
    found = true_positions(mask)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.flatnonzero(mask))
    assert np.array_equal(counts_of(labels, 9), np.bincount(labels, minlength=9))
    for positions in (found, rng.permutation(count)):
        picked = gather(labels, positions)
        assert picked.dtype == labels.dtype
        assert np.array_equal(picked, labels[positions])


@pytest.mark.parametrize("number", [0, (1 << 31) - 1, -(1 << 31), 1 << 31, -(1 << 31) - 1, 1 << 62])
def test_numbers_that_fit_are_narrow(number):
    found = narrowed(np.array([1, number], np.int64))
    assert found.tolist() == [1, number]
    assert found.dtype == (np.int32 if -(1 << 31) <= number < 1 << 31 else np.int64)


@pytest.mark.parametrize(("kind", "extra"), [(np.int32, 7), (np.int64, 7), (np.uint8, 7), (np.int32, 1 << 40)])
def test_a_column_collected_in_parts(kind, extra):
    """A column of int32 becomes wide when a number needs it."""
    parts = [
        np.arange(5),
        np.zeros(0, int),
        np.arange(100)[::7],
        np.broadcast_to(3, 4),
        np.array([extra]),
        np.array([1]),
    ]
    builder = ColumnBuilder(kind)
    for part in parts:
        builder.add(part)
    assert len(builder) == 5 + 15 + 4 + 2
    assert builder.column().dtype == (np.int64 if extra >> 31 else kind)
    assert builder.column().tolist() == np.concatenate(parts).tolist()
    assert builder.column().flags.writeable, "torch warns of memory that may not be written to"


def test_names_are_a_sequence_of_bytes():
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
    ordered = names.take(names.order())
    assert list(ordered) == sorted(WORDS)
    assert ordered.is_sorted()
    assert ordered.first_repeated() is None
    assert [ordered.find(word) for word in sorted(WORDS)] == list(range(7))
    assert [ordered.find(word) for word in (b"0", b"ab", b"\xff\xff", b"a\0\0")] == [None] * 4
    assert Names.of([b"a", b"b", b"b", b"c"]).first_repeated() == b"b"
    assert Names.of([]).find(b"a") is None
    assert Names.of([]).is_sorted()


def test_picked_names_are_a_sequence_of_bytes():
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


def test_names_collected_in_parts():
    builder = NamesBuilder()
    for part in (Names.of(WORDS), Names.of([]), Names.of(WORDS)[1:3], Names.of([b""])):
        builder.add(part)
    assert len(builder) == 10
    names = builder.names()
    assert list(names) == [*WORDS, b"", b"a\0", b""]
    names.array.validate(full=True)
    assert len(NamesBuilder().names()) == 0


@pytest.mark.parametrize("largest", [7, 1 << 40])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_listing_of_columns(seed, largest):
    groups = [
        [Entry(b"%d/%d" % (label, number), label, number, "val" if label % 2 else "train") for number in range(5)]
        for label in range(4)
    ]
    groups[2][3] = Entry(b"2/3", 2, largest, "train")
    groups.append([])
    if seed is not None:
        random.Random(seed).shuffle(groups)
    builder = TableBuilder({"labels": np.int32, "sizes": np.int32, "val": np.bool_})
    for number, group in enumerate(groups):
        first = group[0] if group else Entry(b"", number, 0, "train")
        sizes = [each.size for each in group]
        builder.add([each.path for each in group], labels=first.label, sizes=sizes, val=first.split == "val")
    assert len(builder) == 20
    names, columns = builder.sorted_by_name()
    listing = Listing(names, **columns)
    expected = sorted((each for group in groups for each in group), key=lambda each: each.path)
    assert list(listing) == expected
    assert (listing.val.dtype, listing.labels.dtype) == (bool, np.int32)


def test_a_listing_is_a_sequence_of_entries():
    entries = [Entry(b"val/b", 1, 7, "val"), Entry(b"train/a", 0, 9, "train"), Entry(b"train/c", 1, 0, "train")]
    listing = Listing.of(entries)
    assert list(listing) == entries
    assert [listing[index] for index in range(3)] == entries
    assert list(listing[1:]) == entries[1:]
    assert Listing.of(listing) is listing
    with pytest.raises(AssertionError, match="a source lists one name twice"):
        Listing.of([*entries, entries[0]])
