"""The file that says where pictures lie: written whole or not at all, shared, and made again when anything changes."""

import os
import shutil
import time

import numpy as np
import pytest

from bandwise.errors import UsageError
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.source import Entry


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(b"content")
    return path


def table(names=(b"b", b"a", b"c")):
    builder = IndexBuilder()
    builder.add(names, file=1, offset=np.arange(len(names)) << 40, size=7, label=np.arange(len(names)), val=[0, 1, 1])
    return builder.batch({"fact": "x"})


def test_columns_follow_the_sorted_names(archive):
    index = load_index(indexed({}, [archive], table))
    expected = [Entry(b"a", 1, 7, "val"), Entry(b"b", 0, 7, "train"), Entry(b"c", 2, 7, "val")]
    assert list(index.listing) == expected
    assert index.offsets.tolist() == [1 << 40, 0, 2 << 40]
    assert index.files.tolist() == [1, 1, 1]
    assert index.positions.tolist() == [0, 0, 0]
    assert index.facts == {"fact": "x"}


def test_a_name_that_stands_twice(archive, home):
    with pytest.raises(UsageError, match="the picture 'b' stands twice; remove one of the two"):
        indexed({}, [archive], lambda: table((b"b", b"a", b"b")))
    assert not home.exists()


def test_it_is_made_again_when_anything_changes(archive, tmp_path):
    made = []

    def build():
        made.append(1)
        return table()

    paths = {indexed({"seed": 0}, [archive], build) for _ in range(3)}
    assert (len(paths), len(made)) == (1, 1)
    paths.add(indexed({"seed": 1}, [archive], build))
    os.utime(archive, ns=(0, 0))
    paths.add(indexed({"seed": 0}, [archive], build))
    archive.write_bytes(b"longer content")
    paths.add(indexed({"seed": 0}, [archive], build))
    other = archive.with_name("copy")
    shutil.copy2(archive, other)
    other.rename(archive)
    paths.add(indexed({"seed": 0}, [archive], build))
    assert (len(paths), len(made)) == (5, 5), "another file of the same size and time"


def everything(path):
    index = load_index(path)
    numbers = (index.files, index.offsets, index.positions)
    return [list(index.listing), index.facts, *(column.tolist() for column in numbers)]


def test_a_damaged_file_is_replaced_and_a_flipped_bit_anywhere_is_found(archive):
    path = indexed({}, [archive], table)
    expected = everything(path)
    content = path.read_bytes()
    damaged = [b"", b"ARROW1", b"x" * 100, content[:-10]]
    for place in range(0, len(content), 11):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for number, changed in enumerate(damaged):
        load_index.cache_clear()
        path.write_bytes(changed)
        assert everything(indexed({}, [archive], table)) == expected, number


def test_outdated_indexes_are_deleted(archive, tmp_path):
    """Those of the same archives before they changed, at once; any other once nobody has opened it for long."""
    first = indexed({}, [archive], table)
    other = indexed({"seed": 1}, [archive], table)
    old = first.with_name("0" * 32 + ".arrow")
    old.write_bytes(b"of an earlier release")
    archive.write_bytes(b"longer content")
    second = indexed({}, [archive], table)
    assert sorted(second.parent.iterdir()) == sorted([old, other, second])
    long_ago = time.time() - 100 * 24 * 3600
    for path in (old, other, second):
        os.utime(path, (long_ago, long_ago))
    assert indexed({}, [archive], table) == second, "it is in use again"
    third = indexed({"seed": 2}, [archive], table)
    assert sorted(second.parent.iterdir()) == sorted([second, third])


def test_what_cannot_be_opened_or_written(archive, home, tmp_path):
    with pytest.raises(UsageError, match="none cannot be opened: No such file"):
        indexed({}, [tmp_path / "none"], table)
    home.write_text("a file in the way")
    with pytest.raises(UsageError, match=r"the index cannot be written to .*; set BANDWISE_HOME to a folder that can"):
        indexed({}, [archive], table)


def test_a_million_pictures_cost_seventy_bytes_each(archive):
    """The promise behind 14 million pictures in about a gigabyte."""
    count = 100_000
    names = [b"train/n01440764/n01440764_%d.JPEG" % number for number in range(count)]

    def build():
        builder = IndexBuilder()
        builder.add(names, file=0, offset=np.arange(count), size=1, label=0, val=0)
        return builder.batch({})

    path = indexed({}, [archive], build)
    assert path.stat().st_size < 72 * count
    listing = load_index(path).listing
    assert listing.names.array.nbytes + listing.labels.nbytes + listing.sizes.nbytes + listing.val.nbytes < 55 * count
    assert load_index(path) is load_index(path), "mapped once a process"
