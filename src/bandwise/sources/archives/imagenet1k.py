"""ImageNet-1K (ILSVRC 2012) as it is distributed: a tar of class tars, a flat tar to validate on, and the devkit.

Unpacked class folders are taken too, and give the same names, labels and order: a store does not tell where it is from.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import find_class_tars, find_pictures, say_passed_over, scan_class_tars
from bandwise.sources.archives.devkit import Labels, find_words, read_labels
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.archives.labels import WORDNET_ID, class_names
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.folders.folder import FolderSource, open_folder
from bandwise.sources.reading import open_archive
from bandwise.sources.source import Listing, Source

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VAL_ARCHIVE = "ILSVRC2012_img_val.tar"
PUBLISHED = {"classes": 1000, "train": 1_281_167, "val": 50_000}

_VAL_NAME = re.compile(rb"ILSVRC2012_val_(\d{8})\.JPEG")
_FINGERPRINT = {"kind": "imagenet1k", "name": "imagenet1k", "reported": "val"}


@dataclass(frozen=True, slots=True)
class WordNetFolders:
    """Class folders that are named by WordNet ids, under the names and the fingerprint of ImageNet-1K."""

    folder: FolderSource
    classes: tuple[str, ...]
    name: str = "imagenet1k"

    @property
    def root(self) -> Path:
        """The folder."""
        return self.folder.root

    @property
    def channels(self) -> Literal[1, 3]:
        """Three: grey pictures become RGB."""
        return 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The same as that of the archives."""
        return dict(_FINGERPRINT)

    def entries(self) -> Listing:
        """List every picture; raises what `FolderSource.entries` raises."""
        return self.folder.entries()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture."""
        return self.folder.read(path)


def open_imagenet1k(root: Path, *, expect: Literal["any", "ilsvrc2012"] = "any") -> Source:
    """Open a folder that holds the archives, or class folders `train/n01440764` and `val/n01440764`.

    Args:
        root: the folder.
        expect: `ilsvrc2012` refuses anything but 1,000 classes, 1,281,167 training and 50,000 validation pictures.

    Raises:
        UsageError: files are missing, damaged or contradict each other; nothing was written then.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; give the folder that holds {TRAIN_ARCHIVE}")
    if not (root / TRAIN_ARCHIVE).exists():
        if (root / "train").is_dir():
            return _open_folders(root, expect)
        raise UsageError(f"{root} holds neither {TRAIN_ARCHIVE} nor train/ with class folders")
    if not (root / VAL_ARCHIVE).exists():
        raise UsageError(f"{root} has {TRAIN_ARCHIVE} but not {VAL_ARCHIVE}; put it beside it")
    archives = (root / TRAIN_ARCHIVE, root / VAL_ARCHIVE)
    labels = read_labels(root)
    key = {**_FINGERPRINT, "truth": labels.truth, "classes": sorted(labels.wordnet_ids)}
    index = indexed(key, archives, lambda: _build(root, labels, expect))
    facts = load_index(index).facts
    _require_expected(str(root), facts["audit"], expect)
    classes = class_names(facts["wordnet_ids"], labels.words)
    return TarSource(root, "imagenet1k", archives, classes, index, dict(_FINGERPRINT), facts["audit"])


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
    audit = _audit(len(wordnet_ids), train, val)
    say(_audit_text(audit))
    _require_expected(str(root), audit, expect)
    return builder.batch({"wordnet_ids": wordnet_ids, "audit": audit})


def _require_same_classes(path: Path, found: set[str], labels: Labels) -> None:
    for these, those, verb in ((labels.wordnet_ids, found, "lacks"), (found, labels.wordnet_ids, "has, besides,")):
        if extra := sorted(these - those):
            shown = ", ".join(f"{name}.tar" for name in extra[:5]) + (", ..." if len(extra) > 5 else "")
            raise UsageError(
                f"{path} has {len(found)} classes and {labels.where} has {len(labels.wordnet_ids)}; the archive {verb} "
                f"{shown}: it is not complete, or they do not belong together"
            )


def _add_val(builder: IndexBuilder, path: Path, labels: Labels, label_of: dict[str, int]) -> int:
    passed_over, ignored = Counter[str](), list[bytes]()
    with open_archive(path) as region:
        found = find_pictures(region, passed_over, ignored)
    say_passed_over(passed_over, ignored)
    matches = [_VAL_NAME.fullmatch(name) for name in found.names]
    if wrong := [name for name, match in zip(found.names, matches, strict=True) if match is None]:
        raise UsageError(f"{path} holds {wrong[0]!r}; expected names such as ILSVRC2012_val_00000001.JPEG")
    numbers = np.array([int(match[1]) for match in matches if match], np.int64)
    if len(numbers) != len(labels.truth):
        raise UsageError(
            f"{path} holds {len(numbers)} pictures, but {labels.where} has labels for {len(labels.truth)}: "
            "they do not belong together, or one of them is not complete"
        )
    if not np.array_equal(numbers, np.arange(1, len(numbers) + 1)):
        lost = min(set(range(1, len(numbers) + 1)) - set(numbers.tolist()))
        raise UsageError(f"{path} holds {len(numbers)} pictures, but not number {lost}")
    truth = [labels.truth[number - 1] for number in numbers]
    names = [f"val/{wordnet_id}/".encode() + name for wordnet_id, name in zip(truth, found.names, strict=True)]
    builder.add(names, offset=found.offsets, size=found.sizes, label=[label_of[each] for each in truth], file=1, val=1)
    return len(names)


def _open_folders(root: Path, expect: str) -> WordNetFolders:
    folder = open_folder(root, "val")
    if strange := [name for name in folder.classes if not WORDNET_ID.fullmatch(name)]:
        raise UsageError(f"{root}: the class folder {strange[0]!r} is no WordNet id; use --source folder")
    source = WordNetFolders(folder, class_names(list(folder.classes), find_words(root)))
    if expect != "any":
        listing = source.entries()
        val = int(np.count_nonzero(listing.val))
        _require_expected(str(root), _audit(len(folder.classes), len(listing) - val, val), expect)
    return source


def _audit(classes: int, train: int, val: int) -> dict[str, Any]:
    counts = {"classes": classes, "train": train, "val": val}
    return {"source": "imagenet1k", **counts, "published": PUBLISHED, "as_published": counts == PUBLISHED}


def _audit_text(audit: dict[str, Any]) -> str:
    published = f"; published: {PUBLISHED['classes']:,} classes, {PUBLISHED['train']:,} + {PUBLISHED['val']:,}"
    return f"imagenet1k: {audit['classes']:,} classes, {audit['train']:,} to train + {audit['val']:,} reported" + (
        ", as published" if audit["as_published"] else published
    )


def _require_expected(where: str, audit: dict[str, Any], expect: str) -> None:
    if expect != "any" and not audit["as_published"]:
        found = ", ".join(f"{audit[key]:,} {key}" for key in PUBLISHED)
        wanted = ", ".join(f"{count:,} {key}" for key, count in PUBLISHED.items())
        raise UsageError(f"{where} is not the published ILSVRC 2012: {found}; expected {wanted}")
