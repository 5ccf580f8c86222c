"""The frozen, ordered list of images with ids and labels; its draws depend on a seed, a purpose and names alone."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.sources.columns import (
    MAX_ROWS,
    ColumnBuilder,
    Names,
    NamesBuilder,
    PickedNames,
    counts_of,
    gather,
    narrowed,
    pieces,
    true_positions,
)
from bandwise.sources.naming import some
from bandwise.sources.source import Listing, Source, Split

SPLITS: tuple[Split, ...] = get_args(Split)

_ONE_BASED = " (labels seem to begin at 1, and are positions from 0)"
_HASHED_AT_ONCE = 1 << 14
_BUCKET = 1 << 19

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("path", pa.binary()),
        pa.field("label", pa.int32()),
        pa.field("split", pa.string()),
        pa.field("size", pa.int64()),
    ]
)


@dataclass(frozen=True, eq=False, slots=True)
class SampleList:
    """Images in the order of their ids: first `train`, then `holdout`, then `val`, each contiguous.

    Attributes:
        paths: N names inside the source.
        labels: int32 `(N,)`.
        counts: how many images are in `train`, `holdout` and `val`, together N.
        sizes: bytes `(N,)`, int32, or int64 where one needs it.
        classes: class names.
    """

    paths: Names | PickedNames
    labels: np.ndarray
    counts: tuple[int, int, int]
    sizes: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.paths) == len(self.labels) == len(self.sizes) == sum(self.counts), self.counts

    def __len__(self) -> int:
        return len(self.paths)

    def without_reported(self) -> "SampleList":
        """Return the list as it is, with the same ids, where the source has no reported set."""
        train, holdout, _ = self.counts
        kept = slice(0, train + holdout)
        return SampleList(self.paths[kept], self.labels[kept], (train, holdout, 0), self.sizes[kept], self.classes)

    def range(self, split: Split) -> range:
        """Return the ids of one split; empty where it has none."""
        place = SPLITS.index(split)
        first = sum(self.counts[:place])
        return range(first, first + self.counts[place])

    def table(self, part: slice = slice(None)) -> pa.Table:
        """Return the list, or a part of it without gaps, as the table of `samples.parquet`, in the order of ids."""
        ids = np.arange(*part.indices(len(self)))
        paths = [self.paths[part][here].packed().array.cast(pa.binary()) for here in pieces(len(ids))]
        columns = [
            pa.array(ids),
            pa.chunked_array(paths, pa.binary()),
            pa.array(self.labels[part], pa.int32()),
            pa.array(SPLITS, pa.string()).take(pa.array(np.searchsorted(np.cumsum(self.counts), ids, side="right"))),
            pa.array(self.sizes[part], pa.int64()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    @classmethod
    def from_batches(cls, batches: Iterable[pa.RecordBatch], classes: Sequence[str]) -> "SampleList":
        """Read what `table` gave, cut in any way."""
        names, labels, sizes = NamesBuilder(), ColumnBuilder(np.int32), ColumnBuilder(np.int32)
        counts, last = np.zeros(len(SPLITS), np.int64), 0
        for batch in batches:
            splits = _checked(batch, len(labels), len(classes), last)
            counts += np.bincount(splits, minlength=len(SPLITS))
            last = int(splits[-1]) if len(splits) else last
            names.add(Names(batch.column("path").cast(pa.large_binary())))
            labels.add(batch.column("label").to_numpy())
            sizes.add(batch.column("size").to_numpy())
        train, holdout, val = counts.tolist()
        return cls(names.names(), labels.column(), (train, holdout, val), sizes.column(), tuple(classes))

    def sha256(self) -> str:
        """Return a digest of the classes and of every row, in 64 hexadecimal digits; it does not depend on Parquet."""
        digest = hashlib.sha256(json.dumps(list(self.classes)).encode())
        for numbers in (self.labels, self.sizes):
            for here in pieces(len(self)):
                digest.update(numbers[here].astype("<i8").data)
        for here in pieces(len(self)):
            digest.update(self.paths[here].lengths().astype("<i8").data)
        for here in pieces(len(self)):
            digest.update(self.paths[here].packed().joined())
        digest.update(json.dumps(list(self.counts)).encode())
        return digest.hexdigest()


def freeze_samples(source: Source, config: SplitConfig, allow_empty_class: bool = False) -> SampleList:
    """Carve the holdout out of the training images and fix the order of all of them.

    From each class the holdout takes `config.holdout` of the training images (rounded), at least `config.holdout_min`,
    but always leaves one to train on. Which ones, and the order of the training images, follows from the SHA-256 of
    the seed and the name of each image alone: not from the order of a directory, nor from a random-number library.
    `val` and `holdout` are sorted by name. The names stay in the memory, or the mapped file, of the source's listing.

    Raises:
        UsageError: the source has no training images, or a class has none in a split that has images, unless
            `allow_empty_class`.
    """
    listing = Listing.of(source.entries())
    if listing.val.all():
        raise UsageError(f"{source.name} has no training images")
    if not allow_empty_class:
        _require_every_class(source, "train", listing.labels[~listing.val])
        if listing.val.any():
            _require_every_class(source, "val", listing.labels[listing.val])
    parts = _positions(listing, len(source.classes), config)
    train, holdout, val = map(len, parts)
    positions = np.concatenate(parts)
    del parts
    return SampleList(
        paths=PickedNames(listing.names, positions),
        labels=gather(listing.labels, positions).astype(np.int32, copy=False),
        counts=(train, holdout, val),
        sizes=narrowed(gather(listing.sizes, positions)),
        classes=source.classes,
    )


def _positions(listing: Listing, classes: int, config: SplitConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions in the listing of train, holdout and val, int32, each in the order of its ids."""
    train, holdout = true_positions(~listing.val), np.zeros(0, np.int32)
    if config.holdout > 0:
        chosen = _drawn_holdout(listing, train, classes, config)
        train, holdout = train[~chosen], train[chosen]
    order = draw_order(PickedNames(listing.names, train), config.split_seed, "order")
    return gather(train, order), _by_name(listing, holdout), _by_name(listing, true_positions(listing.val))


def _by_name(listing: Listing, positions: np.ndarray) -> np.ndarray:
    return positions[PickedNames(listing.names, positions).packed().order()]


def _drawn_holdout(listing: Listing, train: np.ndarray, classes: int, config: SplitConfig) -> np.ndarray:
    """Say which training images are held out, bool `(N,)`; `train` are their positions."""
    order = draw_order(PickedNames(listing.names, train), config.split_seed, "holdout")
    labels = gather(listing.labels, train)
    counts = counts_of(labels, classes)
    wanted = np.maximum((config.holdout * counts + 0.5).astype(np.int64), config.holdout_min)
    return smallest_of_each(order, labels, np.clip(wanted, 0, np.maximum(counts - 1, 0)))


def _checked(batch: pa.RecordBatch, first: int, classes: int, split: int) -> np.ndarray:
    """Return the splits, int32, of some rows: their ids must go on from `first`, their splits from `split`."""
    if not batch.schema.equals(SCHEMA) or any(column.null_count for column in batch.columns):
        raise CorruptionError(f"the sample list has columns {batch.schema.names}, or gaps; {SCHEMA.names} are needed")
    if not np.array_equal(batch.column("id").to_numpy(), np.arange(first, first + len(batch))):
        raise CorruptionError("the sample list has other ids than 0, 1, 2...")
    labels = batch.column("label").to_numpy()
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise CorruptionError(f"the sample list has labels outside 0 to {classes - 1}")
    found = pc.index_in(batch.column("split"), value_set=pa.array(SPLITS))  # type: ignore[reportAttributeAccessIssue]
    if found.null_count or np.any(np.diff(numbers := found.to_numpy(), prepend=np.int32(split)) < 0):
        raise CorruptionError(f"the sample list has splits other than {SPLITS}, or not in that order")
    return numbers


def _require_every_class(source: Source, split: str, labels: np.ndarray) -> None:
    present = counts_of(labels, len(source.classes))
    empty = [name for name, count in zip(source.classes, present.tolist(), strict=True) if not count]
    if empty:
        shown = some(map(repr, empty)) + (_ONE_BASED if empty == ["0"] else "")
        raise UsageError(
            f"{source.name}: {len(empty)} of {len(source.classes)} classes have no images in {split}: {shown}; "
            "add images, remove the folders, or allow it with --allow-empty-class"
        )


def draw_order(names: Names | PickedNames, seed: int, purpose: str) -> np.ndarray:
    """Return the positions that sort names by `SHA-256("SEED PURPOSE " + name)`, int32 `(N,)`.

    Anybody can repeat it without our code, and no random-number library has a part in it. The purpose keeps draws for
    different ends apart. Takes about 10 bytes a name: four bytes of each digest are kept, and names that agree in those
    are hashed again.
    """
    assert len(names) < MAX_ROWS, len(names)
    prefix = f"{seed} {purpose} ".encode()
    keys = np.empty(len(names), np.uint32)
    for here in pieces(len(names), _HASHED_AT_ONCE):
        digests = b"".join([_digest(prefix, name) for name in names[here]])
        keys[here] = np.frombuffer(digests, ">u4")[::8]
    order = np.empty(len(names), np.int32)
    filled = 0
    for members in _buckets(keys):
        by_key = np.argsort(keys[members])
        found = members[by_key]
        for first, last in _equal_runs(keys[found]):
            found[first:last] = sorted(found[first:last].tolist(), key=lambda index: _digest(prefix, names[index]))
        order[filled : filled + len(found)] = found
        filled += len(found)
    return order


def smallest_of_each(order: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Say which of N items are among the first `counts` of their class, bool `(N,)`; `order` has their positions."""
    chosen = np.zeros(len(order), bool)
    wanted = counts.copy()
    for piece in pieces(len(order)):
        here = order[piece]
        classes = labels[here]
        by_class = np.argsort(classes, kind="stable")
        sizes = np.bincount(classes, minlength=len(wanted))
        rank = np.arange(len(here)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        chosen[here[by_class[rank < np.repeat(wanted, sizes)]]] = True
        wanted -= np.minimum(wanted, sizes)
        if not wanted.any():
            break
    return chosen


def _digest(prefix: bytes, name: bytes) -> bytes:
    return hashlib.sha256(prefix + name).digest()


def _buckets(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield positions whose keys share their upper bits, smaller keys first; digests spread evenly over them."""
    bits = min(8, (len(keys) // _BUCKET).bit_length())
    upper = (keys >> np.uint32(32 - bits)).astype(np.uint8) if bits else np.zeros(len(keys), np.uint8)
    for value in range(1 << bits):
        yield np.flatnonzero(upper == value)


def _equal_runs(ordered: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield where runs of at least two equal numbers begin and end."""
    same = np.concatenate([[False], ordered[1:] == ordered[:-1], [False]])
    edges = np.flatnonzero(same[1:] != same[:-1])
    for first, last in edges.reshape(-1, 2).tolist():
        yield first, last + 1
