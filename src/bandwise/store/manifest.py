"""The documents of a store: STORE.json, a commit record, MANIFEST.json; what each holds, and all that is checked of it.

`docs/format.md` explains every key. A right seal only says that nobody has altered a document since it was sealed, and
anybody may seal any content: a document is parsed whole before anything of it is believed.
"""

import base64
import dataclasses
import re
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from bandwise.config import MOST_CHANNELS, SplitConfig
from bandwise.config.configfile import merge
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.documents import read_sealed
from bandwise.files.schema import parse
from bandwise.store.duplicates import Duplicates
from bandwise.store.layout import (
    CARD_NAME,
    FORMAT,
    MANIFEST_NAME,
    MAX_ROWS,
    SAMPLES_NAME,
    SPLITS,
    STORE_NAME,
    VERSION,
    SampleGroup,
    band_folder,
)

_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST_SUM = 1 << 63


def _require(holds: bool, key: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{key} is {reprlib.repr(value)}, which is impossible")


def _require_hash(key: str, *values: str) -> None:
    for value in values:
        _require(_HASH.fullmatch(value) is not None, key, value)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _require(self.bytes >= 0, "bytes", self.bytes)
        _require_hash("sha256", self.sha256)


@dataclass(frozen=True, slots=True)
class BandFileFacts(FileFacts):
    """What is known of a band file; the checksums of its pages do not cover its footer."""

    footer_crc32: int
    rows: int

    def __post_init__(self) -> None:
        FileFacts.__post_init__(self)
        _require(self.footer_crc32 >= 0, "footer_crc32", self.footer_crc32)
        _require(0 <= self.rows < MAX_ROWS, "rows", self.rows)


@dataclass(frozen=True, slots=True)
class BadSample:
    """A picture that could not be read and is in no band; only the manifest says of which split."""

    id: int
    path: str
    reason: str
    detail: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """The sample list: its digest, and how many images each split has."""

    sha256: str
    train: int
    holdout: int
    val: int


@dataclass(frozen=True)
class Identity:
    """STORE.json: what the bytes of a store are a function of; the manifest repeats it.

    `config` is the split as it was first written, without the bands: digests are over that form. `source` is the
    source's fingerprint, with the name that it had then.
    """

    format: str
    version: tuple[int, int]
    config: dict[str, Any]
    group_size: int
    classes: tuple[str, ...]
    channels: int
    samples: SampleFacts
    source: dict[str, Any]
    versions: dict[str, str]

    def __post_init__(self) -> None:
        _require(1 <= self.channels <= MOST_CHANNELS, "channels", self.channels)
        _require(self.group_size > 0, "group_size", self.group_size)
        _require(self.samples.train > 0, "samples.train", self.samples.train)
        try:
            _require(self.split.bands == "all", "config.bands", self.split.bands)
        except UsageError as error:
            raise ValueError(f"impossible configuration: {error}") from error

    @cached_property
    def split(self) -> SplitConfig:
        """The split, with all its bands."""
        return merge(SplitConfig(), self.config)

    @property
    def band_count(self) -> int:
        """How many bands the transform has."""
        return self.split.stride**2

    def shared(self) -> dict[str, Any]:
        """Return the fields that STORE.json and the manifest have in common."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Identity)}

    @classmethod
    def read(cls, store: Path) -> Self:
        """Read STORE.json of a folder."""
        if not (store / STORE_NAME).exists():
            remedy = "give the folder that bandwise split wrote; of a run whose store was moved, with --store"
            raise UsageError(f"{store} is not a store: it has no {STORE_NAME}; {remedy}")
        return cls._read(store / STORE_NAME)

    @classmethod
    def _read(cls, path: Path) -> Self:
        content = read_sealed(path)
        version = content.get("version")
        if content.get("format") != FORMAT or not (isinstance(version, list) and len(version) == 2):
            raise CorruptionError(f"{path} is damaged: format {content.get('format')!r}, version {version!r}")
        if version[0] != VERSION[0]:
            raise IncompatibleError(f"{path} has format version {version[0]}; this bandwise reads version {VERSION[0]}")
        return parse(cls, content, path)


@dataclass(frozen=True, slots=True)
class CommitKey:
    """What a commit record holds of the identity, so that a record of another split is recognised."""

    config_sha256: str
    samples_sha256: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the stored values of a band times `steps`, integers, by channel."""

    count: int
    sum: tuple[int, ...]
    sum_squares: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        _require(self.count >= 0 and self.steps >= 1, "count or steps", (self.count, self.steps))
        _require(len(self.sum) == len(self.sum_squares), "sum_squares", self.sum_squares)
        for total, squares in zip(self.sum, self.sum_squares, strict=True):
            # No variance is negative.
            _require(total**2 <= self.count * squares and 0 <= squares < _LARGEST_SUM, "sum_squares", squares)


@dataclass(frozen=True, slots=True)
class CommitRecord(CommitKey):
    """What was written of one sample group in one go, for some bands."""

    split: str
    group: int
    ids: tuple[int, int]
    bands: tuple[int, ...]
    rows: int
    bad: tuple[BadSample, ...]
    notes: dict[str, int]
    canvas_digest: str
    digests: dict[int, str]
    statistics: dict[int, Moments]
    files: dict[str, BandFileFacts]
    hashes: str | None = None
    """Of the pictures, see `duplicates.pack_hashes`; records of early versions have none."""

    @classmethod
    def parse(
        cls, content: dict[str, Any], path: Path, group: SampleGroup, bands: tuple[int, ...], channels: int
    ) -> "CommitRecord":
        """Check the content of a sealed file against the group and the bands that its name says."""
        record = parse(cls, content, path)
        try:
            record._check(group, bands, channels)
        except ValueError as error:
            raise CorruptionError(f"{path} is not the record of its group: {error}") from error
        return record

    def differing(self, other: "CommitRecord") -> list[str]:
        """Name what all bands of a group must have in common and these records do not."""
        return [key for key in ("bad", "canvas_digest") if getattr(self, key) != getattr(other, key)]

    def _check(self, group: SampleGroup, bands: tuple[int, ...], channels: int) -> None:
        _require(self.split == group.split, "split", self.split)
        _require(self.group == group.index, "group", self.group)
        _require(self.ids == (group.ids.start, group.ids.stop), "ids", self.ids)
        _require(self.bands == bands, "bands", self.bands)
        _require(self.rows >= 0 and self.rows + len(self.bad) == len(group.ids), "rows", self.rows)
        _require(all(sample.id in group.ids for sample in self.bad), "bad", self.bad)
        _require(min(self.notes.values(), default=0) >= 0, "notes", self.notes)
        _require_hash("canvas_digest", self.canvas_digest)
        _require(set(self.digests) == set(bands), "digests", self.digests)
        _require_hash("digests", *self.digests.values())
        _require(set(self.statistics) == set(bands), "statistics", self.statistics)
        _require(all(len(part.sum) == channels for part in self.statistics.values()), "statistics", self.statistics)
        counts = {(part.count, part.steps) for part in self.statistics.values()}
        _require(len(counts) == 1, "statistics", self.statistics)
        _require(set(self.files) == {group.band_file(band) for band in bands}, "files", self.files)
        _require(all(facts.rows == self.rows for facts in self.files.values()), "files", self.files)
        try:
            base64.b64decode(self.hashes or "", validate=True)
        except ValueError as error:
            raise ValueError(f"hashes is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Groups, images and stored rows of one split."""

    groups: int
    samples: int
    rows: int

    def __post_init__(self) -> None:
        _require(0 <= self.samples < MAX_ROWS, "samples", self.samples)
        _require(0 <= self.groups <= self.samples, "groups", self.groups)
        _require(0 <= self.rows <= self.samples, "rows", self.rows)


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Moments of the stored values of a band over the training images, by channel."""

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Manifest(Identity):
    """MANIFEST.json: what a reader must know; `writing.derive` makes it from the other files."""

    bands: tuple[int, ...]
    transform: dict[str, Any]
    pixels: dict[str, Any]
    record: dict[str, Any]
    """These three are for readers without Bandwise; we read `config` alone."""
    splits: dict[str, SplitFacts]
    statistics: dict[int, BandStatistics]
    canvas_digests: dict[str, str]
    content_digests: dict[int, dict[str, str]]
    bad: tuple[BadSample, ...]
    notes: dict[str, int]
    files: dict[str, BandFileFacts | FileFacts]
    """All files but the manifest."""
    duplicates: Duplicates | None = None

    def __post_init__(self) -> None:
        Identity.__post_init__(self)
        increasing = all(before < after for before, after in zip((-1, *self.bands), self.bands, strict=False))
        _require(increasing and max(self.bands, default=0) < self.band_count, "bands", self.bands)
        _require(set(self.splits) == set(SPLITS), "splits", self.splits)
        _require({STORE_NAME, SAMPLES_NAME, CARD_NAME} <= set(self.files), "files", sorted(self.files))
        total = sum(facts.samples for facts in self.splits.values())
        _require(all(0 <= sample.id < total for sample in self.bad), "bad", self.bad)
        _require(set(self.statistics) == set(self.bands), "statistics", self.statistics)
        for part in self.statistics.values():
            _require(len(part.mean) == len(part.std) == self.channels, "statistics", part)

    @classmethod
    def read(cls, store: Path) -> Self:
        """Read MANIFEST.json of a folder."""
        return cls._read(store / MANIFEST_NAME)

    def files_of(self, bands: tuple[int, ...] | None) -> dict[str, BandFileFacts | FileFacts]:
        """Return the facts of all files but those of other bands; None is all bands."""
        others = () if bands is None else tuple(f"{band_folder(band)}/" for band in self.bands if band not in bands)
        return {name: facts for name, facts in self.files.items() if not name.startswith(others)}
