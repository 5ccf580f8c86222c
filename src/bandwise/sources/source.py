"""What a source of images must offer, and its list of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import numpy as np

from bandwise.sources.columns import Names, TableBuilder

Split = Literal["train", "holdout", "val"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source.

    Attributes:
        path: name inside the source, as bytes because a file name need not be text.
        label: index into the class names of the source.
        size: bytes of the encoded picture, or of the raw pixels where the source holds arrays; 0 where the source
            would have to read the picture to know.
        split: `train` or `val`; only `freeze_samples` makes `holdout`.
    """

    path: bytes
    label: int
    size: int
    split: Split


class Source(Protocol):
    """Where images come from. Small and picklable (it goes to worker processes), and it never writes."""

    @property
    def root(self) -> Path | None:
        """The file or folder that the images are read from, so that nothing is written there; None without one."""
        ...

    @property
    def name(self) -> str:
        """A short name for titles."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the position is the label."""
        ...

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 for RGB, any number up to 64 for arrays and TIFF files of several bands."""
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
class Listing(Sequence[Entry]):
    """Many entries as columns, at about 60 bytes an image; every name is unique.

    Attributes:
        names: N names inside the source.
        labels: int32 `(N,)`.
        sizes: bytes, integers `(N,)`.
        val: bool `(N,)`, true for the reported set.
    """

    names: Names
    labels: np.ndarray
    sizes: np.ndarray
    val: np.ndarray

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Listing":
        """Return a listing as it is, or the entries of a sequence as columns."""
        if isinstance(entries, Listing):
            return entries
        assert len({entry.path for entry in entries}) == len(entries), "a source lists one name twice"
        return cls(
            Names.of(entry.path for entry in entries),
            np.array([entry.label for entry in entries], np.int32),
            np.array([entry.size for entry in entries], np.int64),
            np.array([entry.split == "val" for entry in entries], bool),
        )

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> "Listing": ...
    def __getitem__(self, index: int | slice) -> "Entry | Listing":
        if isinstance(index, slice):
            return Listing(self.names[index], self.labels[index], self.sizes[index], self.val[index])
        return self._entry(self.names[index], index)

    def __iter__(self) -> Iterator[Entry]:
        for index, name in enumerate(self.names):
            yield self._entry(name, index)

    def _entry(self, name: bytes, index: int) -> Entry:
        return Entry(name, int(self.labels[index]), int(self.sizes[index]), "val" if self.val[index] else "train")


class ListingBuilder(TableBuilder):
    """Collects pictures with the columns of `Listing`, and sorts them by name."""

    def __init__(self) -> None:
        super().__init__({"labels": np.int32, "sizes": np.int32, "val": np.bool_})

    def listing(self) -> Listing:
        """Return all of them. Nothing can be added any more."""
        names, columns = self.sorted_by_name()
        return Listing(names, **columns)
