"""ImageNet-1K (ILSVRC 2012) as it is distributed: a tar of class tars, a flat tar to validate on, and the devkit.

Unpacked class folders are taken too, and give the same names, labels and order: a store does not tell where it is from.
So is what Kaggle unpacks: `train/` in class folders, `val/` flat, its labels in `LOC_val_solution.csv`.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import find_class_tars, find_pictures, say_passed_over, scan_class_tars
from bandwise.sources.archives.devkit import (
    ARCHIVE,
    VAL_SOLUTION,
    WORDNET_ID,
    Labels,
    class_names,
    find_words,
    numbered,
    read_labels,
)
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.naming import some
from bandwise.sources.reading import open_archive
from bandwise.sources.source import Listing, ListingBuilder, Source
from bandwise.sources.walk import Walk

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VAL_ARCHIVE = "ILSVRC2012_img_val.tar"
PUBLISHED = {"classes": 1000, "train": 1_281_167, "val": 50_000}

# Nobody may pass these archives on, so they cannot be fetched by name as the small sets are.
HOW_TO_GET = (
    f"ImageNet-1K is not fetched: register with ImageNet, download {TRAIN_ARCHIVE}, {VAL_ARCHIVE} and {ARCHIVE} into "
    "one folder and give that folder with --data. Nothing has to be unpacked"
)

_FINGERPRINT = {"kind": "imagenet1k", "name": "imagenet1k", "reported": "val"}
_KAGGLE_INSIDE = Path("ILSVRC/Data/CLS-LOC")


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
        walk, found = Walk(self.root, self.folder.follow_symlinks), ListingBuilder()
        val = [(path.removeprefix(b"val/"), size) for path, size in walk.pictures(b"val")]
        walk.raise_first()
        numbers = numbered(str(self.root / "val"), [name for name, _ in val], self.labels)
        ids = [self.labels.truth[number] for number in numbers]
        found.add(
            [b"val/%s/%s" % (wordnet_id.encode(), name) for wordnet_id, (name, _) in zip(ids, val, strict=True)],
            labels=[self.folder.labels[wordnet_id] for wordnet_id in ids],
            sizes=[size for _, size in val],
            val=True,
        )
        train = self.folder.entries()
        found.add(train.names, labels=train.labels, sizes=train.sizes)
        return found.listing()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        split, _, name = path.partition(b"/")
        return self.folder.read(path if split == b"train" else b"val/" + name.partition(b"/")[2])


def open_imagenet1k(root: Path, *, expect: Literal["any", "ilsvrc2012"] = "any") -> Source:
    """Open a folder that holds the archives, or class folders `train/n01440764` and `val/n01440764` or a flat `val/`.

    `expect` refuses anything but 1,000 classes, 1,281,167 training and 50,000 validation pictures. A `UsageError` says
    which files are missing, damaged or contradict each other; nothing was written then.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; give the folder that holds {TRAIN_ARCHIVE}")
    if not (root / TRAIN_ARCHIVE).exists():
        if places := find_kaggle(root):
            return _open_kaggle(*places, expect)
        if (root / "train").is_dir():
            # Under the names and the fingerprint of the archives.
            folder = open_folder(root, "val")
            classes = _classes(folder, root)
            source = replace(folder, name="imagenet1k", classes=classes, fingerprint=dict(_FINGERPRINT))
            _require_listed(source, expect)
            return source
        raise UsageError(f"{root} holds neither {TRAIN_ARCHIVE} nor train/ with class folders")
    if not (root / VAL_ARCHIVE).exists():
        raise UsageError(f"{root} has {TRAIN_ARCHIVE} but not {VAL_ARCHIVE}; put it beside it")
    archives = (root / TRAIN_ARCHIVE, root / VAL_ARCHIVE)
    labels = read_labels(root)
    key = {**_FINGERPRINT, "truth": labels.truth, "classes": sorted(labels.wordnet_ids)}
    index = indexed(key, archives, lambda: _build(root, labels, expect))
    facts = load_index(index).facts
    _require_expected(str(root), facts["counts"], expect)
    classes = class_names(facts["wordnet_ids"], labels.words)
    return TarSource(root, "imagenet1k", archives, classes, index, dict(_FINGERPRINT))


def find_kaggle(root: Path) -> tuple[Path, Path] | None:
    """Return the folder of `train/` and `val/`, which may lie inside, and that of the tables, maybe around it."""
    pictures = root / _KAGGLE_INSIDE if (root / _KAGGLE_INSIDE).is_dir() else root
    around = (pictures, *pictures.parents[: len(_KAGGLE_INSIDE.parts)])
    tables = next((folder for folder in around if (folder / VAL_SOLUTION).is_file()), None)
    is_flat = (pictures / "train").is_dir() and (pictures / "val").is_dir() and not _has_folders(pictures / "val")
    return (pictures, tables) if is_flat and tables else None


def _has_folders(folder: Path) -> bool:
    try:
        with os.scandir(folder) as listing:
            return any(entry.is_dir() for entry in islice(listing, 100))
    except OSError:
        return True


def _build(root: Path, labels: Labels, expect: str) -> pa.RecordBatch:
    tars = find_class_tars(root / TRAIN_ARCHIVE)
    wordnet_ids = [tar.wordnet_id for tar in tars]
    _require_same_classes(root / TRAIN_ARCHIVE, set(wordnet_ids), labels)
    builder = IndexBuilder()
    label_of = {name: label for label, name in enumerate(wordnet_ids)}
    train = 0
    # The small archive first: what is wrong with it shows in seconds.
    val = _add_val(builder, root / VAL_ARCHIVE, labels, label_of)
    for tar, found in scan_class_tars(tars):
        folder = f"train/{tar.wordnet_id}/".encode()
        names, train = [folder + name for name in found.names], train + len(found.names)
        builder.add(names, offset=found.offsets, size=found.sizes, label=label_of[tar.wordnet_id], file=0, val=0)
    counts = {"classes": len(wordnet_ids), "train": train, "val": val}
    published = f"; published: {PUBLISHED['classes']:,} classes, {PUBLISHED['train']:,} + {PUBLISHED['val']:,}"
    figures = f"{len(wordnet_ids):,} classes, {train:,} to train + {val:,} reported"
    say(f"imagenet1k: {figures}" + (", as published" if counts == PUBLISHED else published))
    _require_expected(str(root), counts, expect)
    return builder.batch({"wordnet_ids": wordnet_ids, "counts": counts})


def _require_same_classes(path: Path, found: set[str], labels: Labels) -> None:
    for these, those, verb in ((labels.wordnet_ids, found, "lacks"), (found, labels.wordnet_ids, "has, besides,")):
        if extra := sorted(these - those):
            raise UsageError(
                f"{path} has {len(found)} classes and {labels.where} has {len(labels.wordnet_ids)}; the archive {verb} "
                f"{some(f'{name}.tar' for name in extra)}: it is not complete, or they do not belong together"
            )


def _add_val(builder: IndexBuilder, path: Path, labels: Labels, label_of: dict[str, int]) -> int:
    passed_over, ignored = Counter[str](), list[bytes]()
    with open_archive(path) as region:
        found = find_pictures(region, passed_over, ignored)
    say_passed_over(passed_over, ignored)
    truth = [labels.truth[number] for number in numbered(str(path), found.names, labels)]
    names = [f"val/{wordnet_id}/".encode() + name for wordnet_id, name in zip(truth, found.names, strict=True)]
    builder.add(names, offset=found.offsets, size=found.sizes, label=[label_of[each] for each in truth], file=1, val=1)
    return len(names)


def _open_kaggle(root: Path, tables: Path, expect: str) -> KaggleSource:
    """Open what Kaggle unpacks, likewise under the names of the archives."""
    folder = replace(open_folder(root / "train"), root=root, train_folder=b"train")
    labels = read_labels(tables)
    classes = _classes(folder, tables)
    if lost := labels.wordnet_ids - folder.labels.keys():
        raise UsageError(f"{labels.where} names {min(lost)}, which has no class folder in {root / 'train'}")
    source = KaggleSource(folder, classes, labels, dict(_FINGERPRINT))
    _require_listed(source, expect)
    return source


def _classes(folder: FolderSource, words: Path) -> tuple[str, ...]:
    if strange := [name for name in folder.classes if not WORDNET_ID.fullmatch(name)]:
        raise UsageError(f"{folder.root}: the class folder {strange[0]!r} is no WordNet id; use --source folder")
    return class_names(list(folder.classes), find_words(words))


def _require_listed(source: FolderSource | KaggleSource, expect: str) -> None:
    if expect != "any":
        val = source.entries().val
        counts = {"classes": len(source.classes), "train": int(np.sum(~val)), "val": int(np.sum(val))}
        _require_expected(str(source.root), counts, expect)


def _require_expected(where: str, counts: dict[str, int], expect: str) -> None:
    if expect != "any" and counts != PUBLISHED:
        found, wanted = (", ".join(f"{count:,} {key}" for key, count in each.items()) for each in (counts, PUBLISHED))
        raise UsageError(f"{where} is not the published ILSVRC 2012: {found}; expected {wanted}")
