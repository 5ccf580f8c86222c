"""The frozen, ordered list of images with ids and labels, and what a source of images must offer to make one."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, UsageError

Split = Literal["train", "holdout", "val"]
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        path: name inside the source, as bytes because a file name need not be text.
        label: index into the class names of the source.
        size: bytes of the encoded picture, or of the raw pixels where the source holds arrays.
        split: `train` or `val`; only `freeze_samples` makes `holdout`.
    """

    path: bytes
    label: int
    size: int
    split: Split


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

    def entries(self) -> list[Entry]:
        """List every image, `train` and `val`."""
        ...

    def read(self, path: bytes) -> bytes | np.ndarray:
        """Return one encoded picture, or its pixels as uint8 `(H, W, C)`."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class SampleList:
    """Images in the order of their ids: first `train`, then `holdout`, then `val`, each contiguous.

    Attributes:
        paths: N names inside the source.
        labels: int32 `(N,)`.
        splits: strings `(N,)`.
        sizes: bytes, int64 `(N,)`.
        classes: class names.
    """

    paths: list[bytes]
    labels: np.ndarray
    splits: np.ndarray
    sizes: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def range(self, split: Split) -> range:
        """Return the ids of one split; empty where it has none."""
        first = sum(int(np.count_nonzero(self.splits == earlier)) for earlier in SPLITS[: SPLITS.index(split)])
        return range(first, first + int(np.count_nonzero(self.splits == split)))

    def table(self) -> pa.Table:
        """Return the list as the table of `samples.parquet`, in the order of ids."""
        columns = [
            pa.array(np.arange(len(self), dtype=np.int64)),
            pa.array(self.paths, pa.binary()),
            pa.array(self.labels, pa.int32()),
            pa.array(self.splits.tolist(), pa.string()),
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
        splits = np.array(table.column("split").to_pylist(), dtype="<U7")
        if not np.array_equal(table.column("id").to_numpy(), np.arange(len(table))):
            raise CorruptionError("the sample list has other ids than 0, 1, 2...")
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise CorruptionError(f"the sample list has labels outside 0 to {len(classes) - 1}")
        rank = np.full(len(splits), -1)
        for position, split in enumerate(SPLITS):
            rank[splits == split] = position
        if np.any(rank < 0) or np.any(np.diff(rank) < 0):
            raise CorruptionError(f"the sample list has splits other than {SPLITS}, or not in that order")
        return cls(table.column("path").to_pylist(), labels, splits, table.column("size").to_numpy(), tuple(classes))

    def sha256(self) -> str:
        """Return a digest of the classes and of every row, in 64 hexadecimal digits; it does not depend on Parquet."""
        digest = hashlib.sha256(json.dumps(list(self.classes)).encode())
        for numbers in (self.labels, self.sizes, [len(path) for path in self.paths]):
            digest.update(np.asarray(numbers, dtype="<i8").tobytes())
        digest.update(b"".join(self.paths))
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
    entries = source.entries()
    train = [entry for entry in entries if entry.split == "train"]
    val = [entry for entry in entries if entry.split == "val"]
    if not train:
        raise UsageError(f"{source.name} has no training images")
    if not allow_empty_class:
        _require_every_class(source, "train", train)
        if val:
            _require_every_class(source, "val", val)
    held: set[bytes] = set()
    if config.holdout > 0:
        by_class: dict[int, list[Entry]] = defaultdict(list)
        for entry in train:
            by_class[entry.label].append(entry)
        for members in by_class.values():
            count = _holdout_count(len(members), config)
            held.update(
                e.path for e in sorted(members, key=lambda e: _draw(config.split_seed, "holdout", e.path))[:count]
            )
    ordered = {
        "train": sorted(
            (entry for entry in train if entry.path not in held),
            key=lambda entry: _draw(config.split_seed, "order", entry.path),
        ),
        "holdout": sorted((entry for entry in train if entry.path in held), key=lambda entry: entry.path),
        "val": sorted(val, key=lambda entry: entry.path),
    }
    return _sample_list(ordered, source.classes)


def _sample_list(ordered: dict[str, list[Entry]], classes: tuple[str, ...]) -> SampleList:
    rows = [entry for split in SPLITS for entry in ordered[split]]
    assert len({entry.path for entry in rows}) == len(rows), "a source lists one name twice"
    return SampleList(
        paths=[entry.path for entry in rows],
        labels=np.array([entry.label for entry in rows], dtype=np.int32),
        splits=np.array([split for split in SPLITS for _ in ordered[split]], dtype="<U7"),
        sizes=np.array([entry.size for entry in rows], dtype=np.int64),
        classes=classes,
    )


def _holdout_count(count: int, config: SplitConfig) -> int:
    wanted = max(int(config.holdout * count + 0.5), config.holdout_min)
    return min(wanted, count - 1)


def _draw(seed: int, purpose: str, path: bytes) -> bytes:
    return hashlib.sha256(f"{seed} {purpose} ".encode() + path).digest()


def _require_every_class(source: Source, split: str, entries: Iterable[Entry]) -> None:
    present = {entry.label for entry in entries}
    empty = [name for label, name in enumerate(source.classes) if label not in present]
    if empty:
        shown = ", ".join(repr(name) for name in empty[:5]) + (", ..." if len(empty) > 5 else "")
        raise UsageError(
            f"{source.name}: {len(empty)} of {len(source.classes)} classes have no images in {split}: {shown}; "
            "add images, remove the folders, or allow it with --allow-empty-class"
        )
