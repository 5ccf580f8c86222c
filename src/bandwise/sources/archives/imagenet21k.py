"""ImageNet-21K as it is distributed, a tar of class tars, under the filter of ImageNet-21K-P.

Classes with fewer than 500 pictures are dropped, and 50 pictures of each other class are the validation set: those with
the smallest `SHA-256("SEED val CLASS/NAME")`.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.audit import audit_text
from bandwise.sources.archives.audit21k import (
    MIN_IMAGES,
    VAL_IMAGES,
    Expected21k,
    audit_imagenet21k,
    require_variant,
)
from bandwise.sources.archives.classtars import ClassPictures, class_tar_files, find_class_tars, scan_class_tars
from bandwise.sources.archives.devkit import find_words
from bandwise.sources.archives.labels import class_names
from bandwise.sources.archives.pictureindex import IndexBuilder, indexed, load_index
from bandwise.sources.archives.tarsource import TarSource
from bandwise.sources.draws import draw_order
from bandwise.sources.names import Names

OUTER_ARCHIVES = ("fall11_whole.tar", "winter21_whole.tar")
# As it is downloaded; where it is really compressed, listing it says what to do.
DOWNLOADED = "winter21_whole.tar.gz"


def open_imagenet21k(
    path: Path,
    *,
    expect: Expected21k = "any",
    min_images: int = MIN_IMAGES,
    val_images: int = VAL_IMAGES,
    seed: int = 0,
) -> TarSource:
    """Open the archive.

    Args:
        path: the tar of class tars, a folder that holds it under its own name, or a folder of class tars.
        expect: refuse anything but this variant.
        min_images: a class with fewer pictures is dropped.
        val_images: pictures of a class that go to the validation set.
        seed: which ones.

    Raises:
        UsageError: the archive is missing, damaged, or another variant than expected; nothing was written then.
    """
    assert 0 < val_images < min_images, (val_images, min_images)
    path = path.expanduser().resolve()
    archive = _locate(path)
    root = path if path.is_dir() else path.parent
    files = class_tar_files(archive)
    rule = {"min_images": min_images, "val_images": val_images, "seed": seed}
    key = {"kind": "imagenet21k", "archive": str(archive), **rule}
    index = indexed(key, files, lambda: _build(archive, files, min_images, val_images, seed, expect))
    facts = load_index(index).facts
    require_variant(str(archive), facts["audit"], expect)
    classes = class_names(facts["wordnet_ids"], find_words(root))
    fingerprint = {"kind": "imagenet21k", "name": "imagenet21k", "reported": "val", **rule}
    return TarSource(path, "imagenet21k", files, classes, index, fingerprint, facts["audit"])


def _locate(path: Path) -> Path:
    """Return the tar of class tars, or the folder that holds class tars."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give the tar of class tars, or the folder that holds it")
    if not path.is_dir():
        return path
    found = [path / name for name in OUTER_ARCHIVES if (path / name).exists()]
    if len(found) > 1:
        raise UsageError(f"{path} holds {' and '.join(OUTER_ARCHIVES)}; give one of the two files with --data")
    if not found and (path / DOWNLOADED).exists() and not class_tar_files(path):
        return path / DOWNLOADED
    return found[0] if found else path


def _build(
    archive: Path,
    files: tuple[Path, ...],
    min_images: int,
    val_images: int,
    seed: int,
    expect: Expected21k,
) -> pa.RecordBatch:
    builder = IndexBuilder()
    counts: dict[str, int] = {}
    kept: list[str] = []
    number_of = {file: number for number, file in enumerate(files)}
    for found in scan_class_tars(find_class_tars(archive)):
        counts[found.wordnet_id] = len(found.names)
        if len(found.names) >= min_images:
            _add(builder, found, val_images, seed, label=len(kept), file=number_of[found.path])
            kept.append(found.wordnet_id)
    if not kept:
        raise UsageError(f"{archive}: none of {len(counts)} classes has {min_images} pictures")
    audit = audit_imagenet21k(counts, min_images=min_images, val_images=val_images)
    say(audit_text(audit))
    require_variant(str(archive), audit, expect)
    return builder.batch({"wordnet_ids": kept, "audit": audit})


def _add(builder: IndexBuilder, found: ClassPictures, val_images: int, seed: int, *, label: int, file: int) -> None:
    folder = found.wordnet_id.encode() + b"/"
    order = draw_order(Names.of(folder + name for name in found.names), seed, "val")
    drawn = np.zeros(len(order), bool)
    drawn[order[:val_images]] = True
    for split, chosen in ((b"train/", ~drawn), (b"val/", drawn)):
        names = [split + folder + name for name in found.names.take(np.flatnonzero(chosen))]
        offsets, sizes = found.offsets[chosen], found.sizes[chosen]
        builder.add(names, offset=offsets, size=sizes, label=label, file=file, val=split == b"val/")
