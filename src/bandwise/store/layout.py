"""The names, the schema and the record layout of a store: what a byte on disk means, without reading or writing any."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from bandwise.config import format_bands, parse_bands
from bandwise.errors import CorruptionError, UsageError

FORMAT = "bandwise-store"
VERSION = (1, 0)
STORE_NAME = "STORE.json"
MANIFEST_NAME = "MANIFEST.json"
SAMPLES_NAME = "samples.parquet"
CARD_NAME = "README.md"
COMMITS_NAME = "commits"
SPLITS = ("train", "holdout", "val")
ROW_GROUP = 256
MAX_ROWS = 1 << 31

_SAFE = re.compile(r"[a-z0-9._/-]+")
_MAX_NAME = 200
_RECORD_NAME = re.compile(r"(train|holdout|val)-(\d{5,})(?:\.bands-([0-9_-]+))?\.json")
_MIN_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True)
class SampleGroup:
    """Consecutive ids of one split, written and committed together as group `index` of `count`.

    Unreadable ones are left out of what is written.
    """

    split: str
    index: int
    count: int
    ids: range

    def band_file(self, band: int) -> str:
        """Return the name of its file of one band."""
        return band_file(band, self.split, self.index, self.count)


def plan_groups(counts: Sequence[int], size: int) -> list[SampleGroup]:
    """Cut the splits, of so many images each, into groups of `size` ids; the last one of a split may be smaller."""
    groups: list[SampleGroup] = []
    first = 0
    for split, count in zip(SPLITS, counts, strict=True):
        stop = first + count
        starts = range(first, stop, size)
        for index, start in enumerate(starts):
            groups.append(SampleGroup(split, index, len(starts), range(start, min(start + size, stop))))
        first = stop
    return groups


def band_folder(band: int) -> str:
    """Return the folder of one band, relative to the store: `band-03`."""
    return f"band-{band:02d}"


def band_file(band: int, split: str, group: int, count: int) -> str:
    """Return the file of one group of one band: `band-03/train-00000-of-00160.parquet`."""
    return f"{band_folder(band)}/{split}-{group:05d}-of-{count:05d}.parquet"


def commit_file(split: str, group: int, bands: tuple[int, ...], band_count: int) -> str:
    """Return the commit record of one group: `commits/train-00000.json`, or `commits/train-00000.bands-0_3-5.json`.

    The second form is used when only some of the `band_count` bands were written in one go.
    """
    if len(bands) == band_count:
        return f"{COMMITS_NAME}/{split}-{group:05d}.json"
    return f"{COMMITS_NAME}/{split}-{group:05d}.bands-{format_bands(bands).replace(',', '_')}.json"


def parse_commit_file(name: str, band_count: int) -> tuple[str, int, tuple[int, ...]] | None:
    """Return split, group and bands of the name of a commit record, or None where it is not one of ours."""
    match = _RECORD_NAME.fullmatch(name.removeprefix(f"{COMMITS_NAME}/"))
    if not match:
        return None
    split, index = match[1], int(match[2])
    try:
        bands = parse_bands("all" if match[3] is None else match[3].replace("_", ","), band_count)
    except UsageError:
        return None
    return (split, index, bands) if commit_file(split, index, bands, band_count) == name else None


def inside(root: Path, name: str) -> Path:
    """Resolve a name read from a manifest, which is not trusted, to a path inside the store."""
    known = _SAFE.fullmatch(name) or name in (STORE_NAME, CARD_NAME)
    if not known or name.startswith("/") or ".." in name.split("/"):
        raise CorruptionError(f"{root}: the manifest names {name!r}, which is not a file name of a store")
    path = root / name
    try:
        # Links that lead in a circle are a RuntimeError before Python 3.13, and stay as they are since.
        leads_out = len(name) > _MAX_NAME or not path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise CorruptionError(f"{root}: {name} is no file: {error}") from error
    if leads_out:
        raise CorruptionError(f"{root}: {name[:_MAX_NAME]} leads out of the store")
    return path


def is_picture(channels: int, storage: str) -> bool:
    """Say whether a record is a picture that an image library opens."""
    return storage == "uint8" and channels in (1, 3)


def record_header(side: int, channels: int, storage: str) -> bytes:
    """Return what stands before the raw pixels of a zstd record: a PPM or PGM header of at least 16 bytes, or nothing.

    Blanks fill it up, so that every record of a store has one size and any image library opens it.
    """
    if not is_picture(channels, storage):
        return b""
    magic, facts = (b"P6" if channels == 3 else b"P5"), b"%d %d 255\n" % (side, side)
    return magic + facts.rjust(max(_MIN_HEADER_BYTES - len(magic), len(facts) + 1))


def schema(channels: int, storage: str) -> pa.Schema:
    """Return the Arrow schema of a band file: `id int64, label int32, image {bytes, path}`.

    Records that are pictures carry the `huggingface` metadata that makes `datasets` and the hub show them as such. The
    order of its keys is part of the bytes of a file.
    """
    fields = [
        pa.field("id", pa.int64()),
        pa.field("label", pa.int32()),
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
    ]
    if not is_picture(channels, storage):
        return pa.schema(fields)
    features = {
        "id": {"dtype": "int64", "_type": "Value"},
        "label": {"dtype": "int32", "_type": "Value"},
        "image": {"_type": "Image"},
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
