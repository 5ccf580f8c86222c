"""ImageNet-1K (ILSVRC 2012) as it is distributed: a tar of class tars, a flat tar to validate on, and the devkit.

Unpacked class folders are taken too, and give the same names, labels and order: a store does not tell where it is from.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import find_class_tars, find_pictures, say_passed_over, scan_class_tars
from bandwise.sources.archives.devkit import WORDNET_ID, Labels, class_names, find_words, numbered, read_labels
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.archives.kaggle import KaggleSource, find_kaggle
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.reading import open_archive
from bandwise.sources.source import Source

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VAL_ARCHIVE = "ILSVRC2012_img_val.tar"
PUBLISHED = {"classes": 1000, "train": 1_281_167, "val": 50_000}

_FINGERPRINT = {"kind": "imagenet1k", "name": "imagenet1k", "reported": "val"}


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
            return _open_folders(root, expect)
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
    truth = [labels.truth[number] for number in numbered(str(path), found.names, labels)]
    names = [f"val/{wordnet_id}/".encode() + name for wordnet_id, name in zip(truth, found.names, strict=True)]
    builder.add(names, offset=found.offsets, size=found.sizes, label=[label_of[each] for each in truth], file=1, val=1)
    return len(names)


def _open_folders(root: Path, expect: str) -> FolderSource:
    """Open class folders under the names and the fingerprint of the archives."""
    folder = open_folder(root, "val")
    classes = _classes(folder, root)
    source = replace(folder, name="imagenet1k", classes=classes, fingerprint=dict(_FINGERPRINT))
    _require_listed(source, expect)
    return source


def _open_kaggle(root: Path, tables: Path, expect: str) -> KaggleSource:
    """Open what Kaggle unpacks, likewise."""
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
