"""The frozen, ordered list of images with ids and labels, and what a source of images must offer to make one."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.sources.draws import draw_order, smallest_of_each
from bandwise.sources.listing import Entry, Listing, Split
from bandwise.sources.names import Names

SPLITS: tuple[Split, ...] = get_args(Split)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("path", pa.binary()),
        pa.field("label", pa.int32()),
        pa.field("split", pa.string()),
        pa.field("size", pa.int64()),
    ]
)

# An Arrow array of type `binary` holds at most 2 GiB: so many of the longest names still fit.
_PIECE = 1 << 18


class Source(Protocol):
    """Where images come from. Small and picklable (it goes to worker processes), and it never writes."""

    @property
    def name(self) -> str:
        """A short name for titles."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the position is the label."""
        ...

    @property
    def channels(self) -> Literal[1, 3]:
        """1 for grey pictures, 3 for RGB."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What identifies the source, ready for JSON, without a path of this machine."""
        ...

    def entries(self) -> Sequence[Entry]:
        """List every image, `train` and `val`; a source of many images returns a `Listing`."""
        ...

    def read(self, path: bytes) -> bytes | np.ndarray:
        """Return one encoded picture, or its pixels as uint8 `(H, W, C)`."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class SampleList:
    """Images in the order of their ids: first `train`, then `holdout`, then `val`, each contiguous.

    Attributes:
        paths: N names inside the source; packed, whatever sequence is given.
        labels: int32 `(N,)`.
        splits: strings `(N,)`, as objects, so that equal ones are held once.
        sizes: bytes, int64 `(N,)`.
        classes: class names.
    """

    paths: Sequence[bytes]
    labels: np.ndarray
    splits: np.ndarray
    sizes: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", Names.of(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def range(self, split: Split) -> range:
        """Return the ids of one split; empty where it has none."""
        first = sum(int(np.count_nonzero(self.splits == earlier)) for earlier in SPLITS[: SPLITS.index(split)])
        return range(first, first + int(np.count_nonzero(self.splits == split)))

    def table(self) -> pa.Table:
        """Return the list as the table of `samples.parquet`, in the order of ids."""
        paths = Names.of(self.paths)
        pieces = [paths[start : start + _PIECE].array.cast(pa.binary()) for start in range(0, len(self), _PIECE)]
        columns = [
            pa.array(np.arange(len(self), dtype=np.int64)),
            pa.chunked_array(pieces, pa.binary()),
            pa.array(self.labels, pa.int32()),
            pa.array(self.splits, pa.string()),
            pa.array(self.sizes, pa.int64()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table, classes: Sequence[str]) -> "SampleList":
        """Read what `table` wrote.

        Raises:
            CorruptionError: other columns, missing values, ids that are not 0, 1, 2..., unknown labels or splits, or
                splits out of order.
        """
        if not table.schema.equals(SCHEMA) or any(column.null_count for column in table.columns):
            raise CorruptionError(
                f"the sample list has columns {table.schema.names}, or gaps; {SCHEMA.names} are needed"
            )
        labels = table.column("label").to_numpy()
        if not np.array_equal(table.column("id").to_numpy(), np.arange(len(table))):
            raise CorruptionError("the sample list has other ids than 0, 1, 2...")
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise CorruptionError(f"the sample list has labels outside 0 to {len(classes) - 1}")
        found = pc.index_in(table.column("split"), value_set=pa.array(SPLITS))  # type: ignore[reportAttributeAccessIssue]
        if found.null_count or np.any(np.diff(rank := found.to_numpy()) < 0):
            raise CorruptionError(f"the sample list has splits other than {SPLITS}, or not in that order")
        paths = Names.join([Names(piece.cast(pa.large_binary())) for piece in table.column("path").chunks])
        splits = np.array(SPLITS, dtype=object)[rank]
        return cls(paths, labels, splits, table.column("size").to_numpy(), tuple(classes))

    def sha256(self) -> str:
        """Return a digest of the classes and of every row, in 64 hexadecimal digits; it does not depend on Parquet."""
        digest = hashlib.sha256(json.dumps(list(self.classes)).encode())
        paths = Names.of(self.paths)
        for numbers in (self.labels, self.sizes, paths.lengths()):
            digest.update(np.ascontiguousarray(numbers, dtype="<i8").data)
        digest.update(paths.joined())
        digest.update(json.dumps([len(self.range(split)) for split in SPLITS]).encode())
        return digest.hexdigest()


def freeze_samples(source: Source, config: SplitConfig, allow_empty_class: bool = False) -> SampleList:
    """Carve the holdout out of the training images and fix the order of all of them.

    From each class the holdout takes `config.holdout` of the training images (rounded), at least `config.holdout_min`,
    but always leaves one to train on. Which ones, and the order of the training images, follows from the SHA-256 of
    the seed and the name of each image alone: not from the order of a directory, nor from a random-number library.
    `val` and `holdout` are sorted by name.

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
    positions = np.concatenate(parts)
    return SampleList(
        paths=listing.names.take(positions),
        labels=listing.labels[positions],
        splits=np.repeat(np.array(SPLITS, dtype=object), [len(part) for part in parts]),
        sizes=listing.sizes[positions].astype(np.int64, copy=False),
        classes=source.classes,
    )


def _positions(listing: Listing, classes: int, config: SplitConfig) -> list[np.ndarray]:
    """Return the positions in the listing of train, holdout and val, each in the order of its ids."""
    train, val = np.flatnonzero(~listing.val), np.flatnonzero(listing.val)
    names, labels = listing.names.take(train), listing.labels[train]
    held = np.zeros(len(train), bool)
    if config.holdout > 0:
        counts = np.bincount(labels, minlength=classes)
        wanted = np.maximum((config.holdout * counts + 0.5).astype(np.int64), config.holdout_min)
        order = draw_order(names, config.split_seed, "holdout")
        held = smallest_of_each(order, labels, np.clip(wanted, 0, np.maximum(counts - 1, 0)))
    kept, holdout = train[~held], train[held]
    return [
        kept[draw_order(listing.names.take(kept), config.split_seed, "order")],
        holdout[listing.names.take(holdout).order()],
        val[listing.names.take(val).order()],
    ]


def _require_every_class(source: Source, split: str, labels: np.ndarray) -> None:
    present = np.bincount(labels, minlength=len(source.classes))
    empty = [name for name, count in zip(source.classes, present.tolist(), strict=True) if not count]
    if empty:
        shown = ", ".join(repr(name) for name in empty[:5]) + (", ..." if len(empty) > 5 else "")
        raise UsageError(
            f"{source.name}: {len(empty)} of {len(source.classes)} classes have no images in {split}: {shown}; "
            "add images, remove the folders, or allow it with --allow-empty-class"
        )
