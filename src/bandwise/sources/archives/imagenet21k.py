"""ImageNet-21K as it is distributed, a tar of class tars, under the filter of ImageNet-21K-P.

Classes with fewer than 500 pictures are dropped, and 50 pictures of each other class are the validation set: those with
the smallest `SHA-256("SEED val CLASS/NAME")`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import class_tar_files, find_class_tars, scan_class_tars
from bandwise.sources.archives.devkit import class_names, find_words
from bandwise.sources.archives.index import IndexBuilder, indexed, load_index
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.columns import Names
from bandwise.sources.samples import draw_order

Expected21k = Literal["any", "fall11", "winter21"]

MIN_IMAGES = 500
VAL_IMAGES = 50

OUTER_ARCHIVES = ("fall11_whole.tar", "winter21_whole.tar")
# As it is downloaded; where it is really compressed, listing it says what to do.
DOWNLOADED = "winter21_whole.tar.gz"
# Nobody may pass these archives on, so they cannot be fetched by name as the small sets are.
HOW_TO_GET = (
    f"ImageNet-21K is not fetched: register with ImageNet, download {' or '.join(OUTER_ARCHIVES)} and give that file, "
    "or the folder that holds it, with --data. Nothing has to be unpacked"
)


class Count(NamedTuple):
    """Classes, and images in them."""

    classes: int
    images: int


class Published(NamedTuple):
    """What the authors of the filter state of a variant."""

    kept: Count
    train: int
    val: int


PUBLISHED = {
    "fall11": Published(Count(11_221, 12_358_684), 11_797_632, 561_052),
    "winter21": Published(Count(10_450, 11_582_723), 11_060_223, 522_500),
}
"""From Ridnik et al., "ImageNet-21K Pretraining for the Masses", and their code."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the filter keeps of an archive."""

    archive: Count
    kept: Count
    val_images: int

    @classmethod
    def of(cls, counts: Sequence[int], min_images: int, val_images: int) -> "Audit":
        kept = [count for count in counts if count >= min_images]
        return cls(Count(len(counts), sum(counts)), Count(len(kept), sum(kept)), val_images)

    @property
    def variant(self) -> str:
        """`fall11`, `winter21` or `unknown`."""
        return next((name for name, said in PUBLISHED.items() if self.kept == said.kept), "unknown")

    def text(self) -> str:
        """Say it in a few lines, beside the published figures."""
        val = self.val_images * self.kept.classes
        train = self.kept.images - val
        dropped = Count(self.archive.classes - self.kept.classes, self.archive.images - self.kept.images)
        lines = [f"imagenet21k: variant {self.variant}"]
        for word, count in (("archive", self.archive), ("dropped", dropped), ("kept", self.kept)):
            lines.append(f"  {word:<8} {count.classes:>7,} classes {count.images:>12,} pictures")
        lines.append(f"  {train:,} to train + {val:,} to validate ({self.val_images} a class)")
        for name, said in PUBLISHED.items():
            if self.variant in (name, "unknown"):
                lines.append(
                    f"  published, {name}: {said.kept.classes:,} classes, {said.kept.images:,} pictures, "
                    f"{said.train:,} + {said.val:,}"
                )
            if self.variant == name and (said.train, said.val) != (train, val):
                lines.append(
                    f"  published are {said.train:,} + {said.val:,}; {said.kept.classes:,} classes with "
                    f"{self.val_images} validation pictures each give {train:,} + {val:,}"
                )
        return "\n".join(lines)

    def require(self, expect: Expected21k, where: str) -> None:
        """Refuse another variant than the expected one."""
        if expect in ("any", self.variant):
            return
        said = PUBLISHED[expect].kept
        found = f"{self.kept.classes:,} classes with {self.kept.images:,} pictures"
        other = "" if self.variant == "unknown" else f", which is {self.variant}"
        raise UsageError(
            f"{where} is not {expect}: it keeps {found}{other}; {expect} has {said.classes:,} with {said.images:,}; "
            "leave --expect out to use it as it is"
        )


def open_imagenet21k(
    path: Path,
    *,
    expect: Expected21k = "any",
    min_images: int = MIN_IMAGES,
    val_images: int = VAL_IMAGES,
    seed: int = 0,
) -> TarSource:
    """Open the tar of class tars, a folder that holds it under its own name, or a folder of class tars.

    A class with fewer than `min_images` pictures is dropped, and `val_images` of each other one, drawn by `seed`, are
    the validation set. A `UsageError` says that the archive is missing, damaged, or another variant than expected;
    nothing was written then.
    """
    assert 0 < val_images < min_images, (val_images, min_images)
    path = path.expanduser().resolve()
    archive = _locate(path)
    root = path if path.is_dir() else path.parent
    files = class_tar_files(archive)
    number_of = {file: number for number, file in enumerate(files)}

    def build() -> pa.RecordBatch:
        builder, counts, kept = IndexBuilder(), list[int](), list[str]()
        for tar, found in scan_class_tars(find_class_tars(archive)):
            counts.append(len(found.names))
            if len(found.names) < min_images:
                continue
            place = {"label": len(kept), "file": number_of[tar.path]}
            drawn = Names.of(f"{tar.wordnet_id}/".encode() + name for name in found.names)
            order = draw_order(drawn, seed, "val")
            val = np.zeros(len(order), bool)
            val[order[:val_images]] = True
            for split, chosen in (("train", ~val), ("val", val)):
                folder = f"{split}/{tar.wordnet_id}/".encode()
                names = [folder + name for name in found.names.take(np.flatnonzero(chosen))]
                builder.add(names, offset=found.offsets[chosen], size=found.sizes[chosen], val=split == "val", **place)
            kept.append(tar.wordnet_id)
        if not kept:
            raise UsageError(f"{archive}: none of {len(counts)} classes has {min_images} pictures")
        audit = Audit.of(counts, min_images, val_images)
        say(audit.text())
        audit.require(expect, str(archive))
        return builder.batch({"wordnet_ids": kept, "audit": [audit.archive, audit.kept, audit.val_images]})

    rule = {"min_images": min_images, "val_images": val_images, "seed": seed}
    index = indexed({"kind": "imagenet21k", "archive": str(archive), **rule}, files, build)
    facts = load_index(index).facts
    in_archive, kept, _ = facts["audit"]
    Audit(Count(*in_archive), Count(*kept), val_images).require(expect, str(archive))
    classes = class_names(facts["wordnet_ids"], find_words(root))
    fingerprint = {"kind": "imagenet21k", "name": "imagenet21k", "reported": "val", **rule}
    return TarSource(path, "imagenet21k", files, classes, index, fingerprint)


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
