"""Listings that are collected class by class: the same as the sorted list of all entries."""

import random

import numpy as np
import pytest

from bandwise.sources.listing import Entry, Listing
from bandwise.sources.listingbuilder import ListingBuilder
from bandwise.sources.names import Names


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
    builder = ListingBuilder()
    for number, group in enumerate(groups):
        first = group[0] if group else Entry(b"", number, 0, "train")
        names, sizes = Names.of(each.path for each in group), np.array([each.size for each in group], np.int64)
        builder.add(names, label=first.label, sizes=sizes, val=first.split == "val")
    assert len(builder) == 20
    listing = builder.listing()
    expected = sorted((each for group in groups for each in group), key=lambda each: each.path)
    assert isinstance(listing, Listing)
    assert list(listing) == expected
    assert (listing.val.dtype, listing.labels.dtype) == (bool, np.int32)
