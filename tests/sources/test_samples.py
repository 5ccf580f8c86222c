"""The frozen sample list: which images are held out, in which order, by which draw, and the way to disk and back."""

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.sources.columns import PIECE, Names, PickedNames, pieces
from bandwise.sources.samples import SCHEMA, SampleList, draw_order, freeze_samples, smallest_of_each
from bandwise.sources.source import Entry


@dataclass(frozen=True)
class Listed:
    """A source with given entries and no pictures."""

    listed: tuple[Entry, ...]
    classes: tuple[str, ...] = ("a", "b", "c")
    name: str = "listed"
    channels: int = 3
    fingerprint: dict = field(default_factory=dict)
    root: None = None

    def entries(self):
        return list(self.listed)

    def read(self, path):
        raise AssertionError(path)


def source(train=(20, 40, 100), val=(5, 5, 5), **options):
    """Return a source with so many images a class."""
    listed = [
        Entry(f"{split}/{label}/{number:03d}.png".encode(), label, 100 * label + number, split)
        for split, counts in (("train", train), ("val", val))
        for label, count in enumerate(counts)
        for number in range(count)
    ]
    return Listed(tuple(listed), **options)


@pytest.mark.parametrize(
    ("train", "share", "least", "expected"),
    [
        ((20, 40, 100), 0.15, 3, (3, 6, 15)),
        ((4, 10, 100), 0.15, 3, (3, 3, 15)),
        ((1, 2, 3), 0.15, 3, (0, 1, 2)),
        ((7, 7, 7), 0.5, 0, (4, 4, 4)),
        ((20, 40, 100), 0.0, 3, (0, 0, 0)),
    ],
)
def test_holdout_is_stratified(train, share, least, expected):
    frozen = freeze_samples(source(train), SplitConfig(holdout=share, holdout_min=least))
    held = Counter(frozen.labels[list(frozen.range("holdout"))].tolist())
    assert tuple(held[label] for label in range(3)) == expected
    left = Counter(frozen.labels[list(frozen.range("train"))].tolist())
    assert tuple(left[label] for label in range(3)) == tuple(np.subtract(train, expected))


def test_ids_run_through_train_holdout_and_val():
    frozen = freeze_samples(source(), SplitConfig())
    assert [frozen.range(split) for split in ("train", "holdout", "val")] == [
        range(136),
        range(136, 160),
        range(160, 175),
    ]
    assert len(frozen) == 175
    assert frozen.counts == (136, 24, 15)
    assert frozen.table()["split"].to_pylist() == ["train"] * 136 + ["holdout"] * 24 + ["val"] * 15
    entries = {entry.path: entry for entry in source().entries()}
    assert len(set(frozen.paths)) == 175
    for path, label, size in zip(frozen.paths, frozen.labels, frozen.sizes, strict=True):
        assert (entries[path].label, entries[path].size) == (label, size)


def test_the_list_does_not_depend_on_the_order_of_a_directory():
    config = SplitConfig()
    listed = list(source().listed)
    expected = freeze_samples(source(), config).sha256()
    for seed in range(5):
        random.Random(seed).shuffle(listed)
        assert freeze_samples(Listed(tuple(listed)), config).sha256() == expected


@pytest.mark.parametrize("seed", [0, 12])
def test_the_draw_is_the_documented_hash(seed):
    """Stores that exist depend on it, and so does anybody who wants the same holdout without our code."""
    frozen = freeze_samples(source((9, 9, 9)), SplitConfig(split_seed=seed))

    def draw(purpose, path):
        return hashlib.sha256(f"{seed} {purpose} ".encode() + path).digest()

    train = [entry.path for entry in source((9, 9, 9)).entries() if entry.split == "train"]
    by_class = [[path for path in train if path.startswith(f"train/{label}".encode())] for label in range(3)]
    held = {path for members in by_class for path in sorted(members, key=lambda path: draw("holdout", path))[:3]}
    assert [frozen.paths[id_] for id_ in frozen.range("holdout")] == sorted(held)
    expected = sorted(set(train) - held, key=lambda path: draw("order", path))
    assert [frozen.paths[id_] for id_ in frozen.range("train")] == expected
    reported = [entry.path for entry in source((9, 9, 9)).entries() if entry.split == "val"]
    assert [frozen.paths[id_] for id_ in frozen.range("val")] == sorted(reported)


def test_s2_empty_class():
    with pytest.raises(UsageError, match=r"listed: 1 of 3 classes have no images in train: 'b'; .*--allow-empty-class"):
        freeze_samples(source((5, 0, 5)), SplitConfig())
    with pytest.raises(UsageError, match="1 of 3 classes have no images in val: 'a'"):
        freeze_samples(source(val=(0, 5, 5)), SplitConfig())
    frozen = freeze_samples(source((5, 0, 5)), SplitConfig(), allow_empty_class=True)
    assert frozen.classes == ("a", "b", "c")
    assert set(frozen.labels[list(frozen.range("train"))].tolist()) == {0, 2}


def test_no_reported_set_and_no_training_images():
    assert freeze_samples(source(val=(0, 0, 0)), SplitConfig()).range("val") == range(160, 160)
    with pytest.raises(UsageError, match="listed has no training images"):
        freeze_samples(source((0, 0, 0)), SplitConfig())


def test_round_trip_through_a_table():
    frozen = freeze_samples(Listed((Entry(b"train/\xff", 0, 7, "train"), *source().listed)), SplitConfig())
    table = frozen.table()
    assert table.schema == SCHEMA
    assert table.column("id").to_pylist() == list(range(len(frozen)))
    for size in (1, 7, 136, 175, 1000):
        assert pa.concat_tables([frozen.table(part) for part in pieces(len(frozen), size)]).equals(table)
    again = SampleList.from_batches(table.to_batches(max_chunksize=7), frozen.classes)
    assert again.sha256() == frozen.sha256()
    assert list(again.paths) == list(frozen.paths)
    assert again.counts == frozen.counts
    for key in ("labels", "sizes"):
        assert np.array_equal(getattr(again, key), getattr(frozen, key))
        assert getattr(again, key).dtype == getattr(frozen, key).dtype == np.int32


@pytest.mark.parametrize("size", [(1 << 31) - 1, 1 << 31, 1 << 40])
def test_a_large_picture_makes_all_sizes_wide(size):
    entries = [Entry(b"train/%d" % number, 0, number, "train") for number in range(9)]
    frozen = freeze_samples(Listed((*entries, Entry(b"train/large", 0, size, "train")), ("a",)), SplitConfig())
    again = SampleList.from_batches(frozen.table().to_batches(max_chunksize=3), ("a",))
    for samples in (frozen, again):
        assert sorted(samples.sizes.tolist()) == [*range(9), size]
        assert samples.sizes.dtype == (np.int64 if size >> 31 else np.int32)
    assert again.sha256() == frozen.sha256() == plain_sha256(frozen)


def plain_sha256(samples):
    """The digest as it has always been, from lists."""
    numbers = (samples.labels.tolist(), samples.sizes.tolist(), [len(path) for path in samples.paths])
    columns = b"".join(value.to_bytes(8, "little") for column in numbers for value in column)
    counts = [len(samples.range(split)) for split in ("train", "holdout", "val")]
    parts = (json.dumps(list(samples.classes)).encode(), columns, b"".join(samples.paths), json.dumps(counts).encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_digest_is_the_one_of_earlier_releases():
    """Stores name their sample list by it."""
    frozen = freeze_samples(source(), SplitConfig())
    assert frozen.sha256() == plain_sha256(frozen)
    assert frozen.sha256() == "4a28a66aaac911dff4534cf85d8d0603a75d54aa31620dc78c635f0250f37c46"


def test_a_list_of_several_pieces():
    rng, count = np.random.default_rng(0), PIECE + 1000
    words = [b"%d" % word for word in rng.integers(0, 10**9, 500)]
    positions = rng.integers(0, 500, count)
    labels, sizes = rng.integers(0, 9, count).astype(np.int32), rng.integers(0, 9999, count).astype(np.int32)
    samples = SampleList(PickedNames(Names.of(words), positions), labels, (count - 3, 1, 2), sizes, tuple("abcdefghi"))
    assert samples.sha256() == plain_sha256(samples)
    assert list(samples.paths) == [words[place] for place in positions.tolist()]
    table = samples.table()
    assert table["id"].to_pylist() == list(range(count))
    assert table["path"].to_pylist() == list(samples.paths)
    assert table["split"].to_pylist() == ["train"] * (count - 3) + ["holdout"] + ["val"] * 2
    again = SampleList.from_batches(table.to_batches(), samples.classes)
    assert again.sha256() == samples.sha256()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("id", [0, 2], "other ids than 0, 1, 2"),
        ("label", [0, 9], "labels outside 0 to 2"),
        ("label", [-1, 0], "labels outside 0 to 2"),
        ("split", ["val", "train"], "not in that order"),
        ("split", ["train", "test"], "splits other than"),
        ("size", [None, 1], "or gaps"),
    ],
)
def test_a_damaged_table_is_refused(column, value, words):
    rows = {"id": [0, 1], "path": [b"a", b"b"], "label": [0, 1], "split": ["train", "val"], "size": [1, 2]}
    classes = ("a", "b", "c")
    for size in (1, 2):
        sound, damaged = (
            pa.table(each, schema=SCHEMA).to_batches(max_chunksize=size) for each in (rows, {**rows, column: value})
        )
        assert len(SampleList.from_batches(sound, classes)) == 2
        with pytest.raises(CorruptionError, match=words):
            SampleList.from_batches(damaged, classes)
        less = pa.table(rows, schema=SCHEMA).drop_columns(column).to_batches(max_chunksize=size)
        with pytest.raises(CorruptionError, match="the sample list has columns"):
            SampleList.from_batches(less, classes)


@pytest.mark.parametrize("bucket", [1, 100, 1 << 19])
def test_draw_order_is_that_of_whole_digests(bucket, monkeypatch):
    monkeypatch.setattr("bandwise.sources.samples._BUCKET", bucket)
    words = [f"train/{number}".encode() for number in range(2000)]
    random.Random(0).shuffle(words)
    expected = sorted(words, key=lambda name: hashlib.sha256(b"5 order " + name).digest())
    names = Names.of(words)
    assert list(names.take(draw_order(names, 5, "order"))) == expected
    order = draw_order(PickedNames(names, np.arange(2000)[::-1]), 5, "order")
    assert [words[::-1][place] for place in order] == expected


def test_names_that_agree_in_all_bytes_kept_are_ordered_by_the_rest():
    """Found by trying: the digests of these two begin with the same four bytes, and the fifth decides."""
    first, second = (hashlib.sha256(b"0 order " + name).digest() for name in (b"6327", b"23736"))
    assert first[:4] == second[:4]
    assert first < second
    for names in ([b"6327", b"23736"], [b"23736", b"6327"], [b"23736", b"x", b"6327"]):
        found = [names[place] for place in draw_order(Names.of(names), 0, "order")]
        assert found.index(b"6327") < found.index(b"23736")


@pytest.mark.parametrize("count", [0, 1])
def test_an_order_of_few_names(count):
    assert draw_order(Names.of([b"a"] * count), 0, "order").tolist() == [0] * count


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
