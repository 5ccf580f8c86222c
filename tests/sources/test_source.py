"""Listings of columns: the same as the sorted list of all entries."""

import random

import numpy as np
import pytest

from bandwise.sources.columns import TableBuilder
from bandwise.sources.source import Entry, Listing


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
    assert isinstance(listing, Listing)
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
