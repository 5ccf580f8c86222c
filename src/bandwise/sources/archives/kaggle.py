"""ImageNet-1K as Kaggle unpacks it: `train/` in class folders, `val/` flat, its labels in `LOC_val_solution.csv`."""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.sources.archives.devkit import VAL_SOLUTION, Labels, numbered
from bandwise.sources.columns import Names
from bandwise.sources.folder import FolderSource
from bandwise.sources.source import Listing
from bandwise.sources.walk import Walk

_INSIDE = Path("ILSVRC/Data/CLS-LOC")
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class KaggleSource:
    """The names are those of class folders, `val/n01440764/ILSVRC2012_val_00000001.JPEG`, as for the archives."""

    folder: FolderSource
    """The training pictures."""
    classes: tuple[str, ...]
    labels: Labels
    """Of the validation pictures."""
    fingerprint: dict[str, Any]
    name: str = "imagenet1k"
    channels: int = 3

    @property
    def root(self) -> Path:
        return self.folder.root

    def entries(self) -> Listing:
        """List every picture, sorted by name."""
        walk = Walk(self.root, self.folder.follow_symlinks)
        found = [(path.removeprefix(b"val/"), size) for path, size in walk.pictures(b"val")]
        walk.raise_first()
        numbers = numbered(str(self.root / "val"), [name for name, _ in found], self.labels)
        ids = [self.labels.truth[number] for number in numbers]
        # Class folders in this order, and names in them in the order of the folder, which is sorted.
        order = sorted(range(len(ids)), key=ids.__getitem__)
        train = self.folder.entries()
        val = [b"val/%s/%s" % (ids[index].encode(), found[index][0]) for index in order]
        return Listing(
            Names.of([*train.names, *val]),
            np.concatenate([train.labels, np.array([self.folder.labels[ids[index]] for index in order], np.int32)]),
            np.concatenate([train.sizes, np.array([found[index][1] for index in order], train.sizes.dtype)]),
            np.arange(len(train) + len(val)) >= len(train),
        )

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        split, _, name = path.partition(b"/")
        return self.folder.read(path if split == b"train" else b"val/" + name.partition(b"/")[2])


def find_kaggle(root: Path) -> tuple[Path, Path] | None:
    """Return the folder of `train/` and `val/`, which may lie inside, and that of the tables, maybe around it."""
    pictures = root / _INSIDE if (root / _INSIDE).is_dir() else root
    tables = next((each for each in (pictures, *pictures.parents[: len(_INSIDE.parts)]) if _has_table(each)), None)
    is_flat = (pictures / "train").is_dir() and (pictures / "val").is_dir() and not _has_folders(pictures / "val")
    return (pictures, tables) if is_flat and tables else None


def _has_table(folder: Path) -> bool:
    return (folder / VAL_SOLUTION).is_file()


def _has_folders(folder: Path) -> bool:
    try:
        with os.scandir(folder) as listing:
            return any(entry.is_dir() for entry in islice(listing, _LOOKED_AT))
    except OSError:
        return True
