"""ImageNet-21K as it is distributed, a tar of class tars, under the filter of ImageNet-21K-P.

Classes with fewer than 500 pictures are dropped, and 50 pictures of each other class are the validation set: those with
the smallest `SHA-256("SEED val CLASS/NAME")`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import Pictures, class_tar_files, find_class_tars, scan_class_tars
from bandwise.sources.archives.devkit import find_words
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.archives.labels import class_names
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.columns import Names
from bandwise.sources.hashdraw import draw_order

Expected21k = Literal["any", "fall11", "winter21"]

MIN_IMAGES = 500
VAL_IMAGES = 50

PUBLISHED: dict[str, dict[str, int]] = {
    "fall11": {"classes": 11_221, "images": 12_358_684, "train": 11_797_632, "val": 561_052},
    "winter21": {"classes": 10_450, "images": 11_582_723, "train": 11_060_223, "val": 522_500},
}
"""What the authors of the filter state: Ridnik et al., "ImageNet-21K Pretraining for the Masses", and their code."""

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


def audit_imagenet21k(
    counts: Mapping[str, int], *, min_images: int = MIN_IMAGES, val_images: int = VAL_IMAGES
) -> dict[str, Any]:
    """Count what the filter keeps, and name the variant.

    Args:
        counts: images of every class in the archive, before the filter.
        min_images: a class with fewer is dropped.
        val_images: images of a class that go to the validation set.

    Returns:
        Ready for JSON: `archive`, `kept` and `dropped` with classes and images; `train` and `val` of what is kept;
        `variant`, which is `fall11`, `winter21` or `unknown` and follows from the kept classes and images;
        `published`, the figures of every variant; `remark`, in words, where ours differ from the published ones.
    """
    kept = [count for count in counts.values() if count >= min_images]
    facts = {"classes": len(kept), "images": sum(kept)}
    val = val_images * len(kept)
    variant = next(
        (name for name, said in PUBLISHED.items() if facts == {key: said[key] for key in facts}),
        "unknown",
    )
    return {
        "source": "imagenet21k",
        "variant": variant,
        "min_images": min_images,
        "val_images": val_images,
        "archive": {"classes": len(counts), "images": sum(counts.values())},
        "kept": facts,
        "dropped": {"classes": len(counts) - len(kept), "images": sum(counts.values()) - sum(kept)},
        "train": sum(kept) - val,
        "val": val,
        "published": PUBLISHED,
        "remark": _remark(variant, sum(kept) - val, val),
    }


def require_variant(where: str, audit: Mapping[str, Any], expect: Expected21k) -> None:
    """Refuse another variant than the expected one.

    Raises:
        UsageError: kept classes or images are not those of `expect`.
    """
    if expect in ("any", audit["variant"]):
        return
    said, kept = PUBLISHED[expect], audit["kept"]
    other = "" if audit["variant"] == "unknown" else f", which is {audit['variant']}"
    raise UsageError(
        f"{where} is not {expect}: it keeps {kept['classes']:,} classes with {kept['images']:,} pictures{other}; "
        f"{expect} has {said['classes']:,} with {said['images']:,}; leave --expect out to use it as it is"
    )


def audit_text(audit: Mapping[str, Any]) -> str:
    """Say in a few lines what an audit found."""
    lines = [
        f"imagenet21k: variant {audit['variant']}",
        *(
            f"  {word:<8} {audit[word]['classes']:>7,} classes {audit[word]['images']:>12,} pictures"
            for word in ("archive", "dropped", "kept")
        ),
        f"  {audit['train']:,} to train + {audit['val']:,} to validate ({audit['val_images']} a class)",
    ]
    lines += [
        f"  published, {name}: {said['classes']:,} classes, {said['images']:,} pictures, "
        f"{said['train']:,} + {said['val']:,}"
        for name, said in audit["published"].items()
        if audit["variant"] in (name, "unknown")
    ]
    return "\n".join(lines + ([f"  {audit['remark']}"] if audit["remark"] else []))


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
    for tar, found in scan_class_tars(find_class_tars(archive)):
        counts[tar.wordnet_id] = len(found.names)
        if len(found.names) >= min_images:
            _add(builder, tar.wordnet_id, found, val_images, seed, label=len(kept), file=number_of[tar.path])
            kept.append(tar.wordnet_id)
    if not kept:
        raise UsageError(f"{archive}: none of {len(counts)} classes has {min_images} pictures")
    audit = audit_imagenet21k(counts, min_images=min_images, val_images=val_images)
    say(audit_text(audit))
    require_variant(str(archive), audit, expect)
    return builder.batch({"wordnet_ids": kept, "audit": audit})


def _add(
    builder: IndexBuilder, wordnet_id: str, found: Pictures, val_images: int, seed: int, *, label: int, file: int
) -> None:
    folder = wordnet_id.encode() + b"/"
    order = draw_order(Names.of(folder + name for name in found.names), seed, "val")
    drawn = np.zeros(len(order), bool)
    drawn[order[:val_images]] = True
    for split, chosen in ((b"train/", ~drawn), (b"val/", drawn)):
        names = [split + folder + name for name in found.names.take(np.flatnonzero(chosen))]
        offsets, sizes = found.offsets[chosen], found.sizes[chosen]
        builder.add(names, offset=offsets, size=sizes, label=label, file=file, val=split == b"val/")


def _remark(variant: str, train: int, val: int) -> str:
    said = PUBLISHED.get(variant)
    if said is None or (said["train"], said["val"]) == (train, val):
        return ""
    return (
        f"published are {said['train']:,} + {said['val']:,}; {said['classes']:,} classes with {val // said['classes']} "
        f"validation pictures each give {train:,} + {val:,}"
    )
