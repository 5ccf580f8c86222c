"""A finished store, opened for reading: its manifest checked, its sizes bounded, its statistics at hand."""

import contextlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig, format_bands, parse_bands, to_dict
from bandwise.config.configfile import differences, merge
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes, sha256_file
from bandwise.files.schema import plain
from bandwise.sources.samples import SampleList
from bandwise.store.layout import MANIFEST_NAME, SAMPLES_NAME, SPLITS, band_file, band_folder, inside, record_header
from bandwise.store.manifest import BandFileFacts, FileFacts, Identity, Manifest, SampleFacts

_MAX_ROWS_A_BYTE = 64


@contextlib.contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises on a damaged file into a `CorruptionError` that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptionError(f"{path} is damaged: {error}; run bandwise verify --repair") from error


@dataclass(frozen=True)
class Store:
    """The sub-datasets of one split, complete and checked at open.

    Attributes:
        path: the folder.
        manifest: MANIFEST.json.
        config: the split; `bands` lists the bands that are stored.
        transform: the transform that made the bands.
        bands: the bands this object may read, in increasing order.
        digest: SHA-256 over what all bands share (configuration, sample list, classes, canvas pixels). Two folders with
            different bands of one split have the same digest, so their branches can be fused.
    """

    path: Path
    manifest: Manifest
    config: SplitConfig
    transform: SubbandTransform
    bands: tuple[int, ...]
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the label of a sample is an index into them."""
        return self.manifest.classes

    @property
    def channels(self) -> int:
        """1 or 3 colour channels."""
        return self.manifest.channels

    @property
    def side(self) -> int:
        """Side of a stored record in pixels: canvas / stride."""
        return self.config.canvas // self.config.stride

    @property
    def dtype(self) -> np.dtype:
        """Type of a stored value: uint8, or little-endian float16."""
        return np.dtype("<f2" if self.config.storage == "float16" else "u1")

    @property
    def record_shape(self) -> tuple[int, int, int]:
        """Shape of one stored record: (side, side, channels)."""
        return self.side, self.side, self.channels

    @property
    def header_bytes(self) -> int:
        """Bytes before the pixels of a zstd record (0 for float16); a webp record has no such header."""
        return len(record_header(self.side, self.channels, self.config.storage))

    def rows(self, split: str) -> int:
        """Return how many samples of a split are stored; skipped ones are not counted."""
        return self.manifest.splits[self._known(split)].rows

    def ids(self, split: str) -> np.ndarray:
        """Return the ids of the stored samples of a split in order, int64 (rows,)."""
        return self._stored_samples[self._known(split)][0]

    def labels(self, split: str) -> np.ndarray:
        """Return the labels of the stored samples of a split in order, int32 (rows,)."""
        return self._stored_samples[self._known(split)][1]

    def mean(self, bands: Sequence[int]) -> np.ndarray:
        """Return the mean of the stored values over the training samples, float64 (len(bands), channels).

        Of any band of the manifest: no file of it is read.
        """
        return np.array([self.manifest.statistics[self._stored(band)].mean for band in bands], np.float64)

    def std(self, bands: Sequence[int]) -> np.ndarray:
        """Return their standard deviation, float64 (len(bands), channels); 0 where a band is constant; likewise."""
        return np.array([self.manifest.statistics[self._stored(band)].std for band in bands], np.float64)

    def files(self, band: int, split: str) -> list[str]:
        """Return the files of one band and split in id order, relative to the store."""
        count = self.manifest.splits[self._known(split)].groups
        return [band_file(self._readable(band), split, group, count) for group in range(count)]

    def file_facts(self, name: str) -> BandFileFacts:
        """Return what the manifest says of a file that `files` named."""
        facts = self.manifest.files.get(name)
        if not isinstance(facts, BandFileFacts):
            raise CorruptionError(f"{self.path / MANIFEST_NAME} does not describe a store: it does not list {name}")
        return facts

    def band_bytes(self, band: int) -> int:
        """Return the bytes of all files of one band of the manifest, which need not be here."""
        start = f"{band_folder(band)}/"
        return sum(facts.bytes for name, facts in self.manifest.files.items() if name.startswith(start))

    def require_split(self, wanted: SplitConfig) -> None:
        """Check that this store was made by the split of a run; it may hold more bands than the run needs."""
        have, want = to_dict(self.config), to_dict(wanted)
        bands_wanted = set(parse_bands(want.pop("bands"), wanted.stride**2))
        have.pop("bands")
        if changed := differences(have, want):
            raise IncompatibleError(
                f"the store {self.path} was made by another split:\n  " + "\n  ".join(changed) + "\n"
                "split again elsewhere"
            )
        if missing := sorted(bands_wanted - set(self.manifest.bands)):
            raise IncompatibleError(
                f"the store {self.path} lacks the bands {missing}; add them with `bandwise split --bands`, same folder"
            )

    def has_digest(self, digest: str) -> bool:
        """Say whether this is the store of a digest, or that store with the reported set that it has got since."""
        return digest == self.digest or (self.manifest.samples.val > 0 and digest == self._digest_without_reported)

    @cached_property
    def _digest_without_reported(self) -> str:
        train, holdout = self.manifest.samples.train, self.manifest.samples.holdout
        with naming_damage(self.path / SAMPLES_NAME), pq.ParquetFile(self.path / SAMPLES_NAME) as file:
            samples = SampleList.from_batches(file.iter_batches(), self.classes).without_reported()
        facts = SampleFacts(samples.sha256(), train, holdout, 0)
        return _digest(self.manifest, facts, {**self.manifest.canvas_digests, "val": sha256_bytes(b"")})

    def _known(self, split: str) -> str:
        if split not in SPLITS:
            raise UsageError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        return split

    def _stored(self, band: int) -> int:
        if band not in self.manifest.bands:
            raise UsageError(f"{self.path} holds the bands {format_bands(self.manifest.bands)}; {band} is not one")
        return band

    def _readable(self, band: int) -> int:
        if band not in self.bands:
            raise UsageError(
                f"{self.path} was opened with bands {format_bands(self.bands)}; band {band} is not one of them"
            )
        return band

    @cached_property
    def _stored_samples(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        path = self.path / SAMPLES_NAME
        if sha256_file(path) != self.manifest.files[SAMPLES_NAME].sha256:
            raise CorruptionError(f"{path} is not the file that the manifest describes; run bandwise verify --repair")
        table = pq.read_table(path, columns=["id", "label"], page_checksum_verification=True)
        ids, labels = table["id"].to_numpy(), table["label"].to_numpy()
        stored = np.ones(len(ids), dtype=bool)
        stored[[sample.id for sample in self.manifest.bad]] = False
        found, start = {}, 0
        for split in SPLITS:
            stop = start + self.manifest.splits[split].samples
            kept = np.flatnonzero(stored[start:stop]) + start
            found[split] = ids[kept], labels[kept]
            start = stop
        return found


def open_store(path: Path, bands: Sequence[int] | None = None) -> Store:
    """Open a finished store.

    Args:
        path: the folder.
        bands: the bands that will be read; only their files must be present. None is every band of the manifest.

    Raises:
        UsageError: the folder is no store, or holds no such band.
        CorruptionError: the conversion is not finished, or a file is missing, short or names something impossible.
        IncompatibleError: a newer format.
    """
    Identity.read(path)
    require_finished(path)
    manifest = Manifest.read(path)
    stored = manifest.bands
    wanted = stored if bands is None else tuple(sorted(set(bands)))
    if missing := tuple(sorted(set(wanted) - set(stored))):
        raise UsageError(
            f"{path} holds bands {format_bands(stored)}; bands {format_bands(missing)} are missing: "
            f"run split with --bands {format_bands(missing)} to add them"
        )
    store = Store(
        path=path,
        manifest=manifest,
        config=merge(manifest.split, {"bands": format_bands(stored)}),
        transform=SubbandTransform(manifest.split.stride, manifest.split.transform, manifest.split.transform_seed),
        bands=wanted,
        digest=_digest(manifest, manifest.samples, manifest.canvas_digests),
    )
    _require_files(store)
    return store


def _digest(manifest: Manifest, samples: SampleFacts, canvas_digests: dict[str, str]) -> str:
    shared = {key: plain(getattr(manifest, key)) for key in ("config", "classes", "channels")}
    return sha256_bytes(json_bytes({**shared, "samples": plain(samples), "canvas_digests": canvas_digests}))


def require_finished(path: Path) -> None:
    """Check that a store has a manifest."""
    if not (path / MANIFEST_NAME).exists():
        raise CorruptionError(f"{path}: conversion not finished: run split again with the same options to finish it")


def read_source_facts(path: Path) -> dict[str, Any]:
    """Return what identifies the source of a store (`Source.fingerprint`); the store need not be finished."""
    try:
        return Identity.read(path).source
    except (CorruptionError, UsageError):
        if not (path / MANIFEST_NAME).exists():
            raise
        return Manifest.read(path).source


def _require_files(store: Store) -> None:
    """Check that files are there with their sizes, and believe no number of the manifest that does not fit them."""
    total = sum(facts.samples for facts in store.manifest.splits.values())
    size = _checked_size(store.path, SAMPLES_NAME, store.manifest.files[SAMPLES_NAME])
    _require(store, total <= _MAX_ROWS_A_BYTE * size, "samples")
    with naming_damage(store.path / SAMPLES_NAME):
        rows = pq.read_metadata(store.path / SAMPLES_NAME).num_rows
    _require(store, rows == total, "samples")
    for band in store.bands:
        for split in SPLITS:
            listed = {name: store.file_facts(name) for name in store.files(band, split)}
            for name, facts in listed.items():
                _require(store, facts.rows <= _MAX_ROWS_A_BYTE * _checked_size(store.path, name, facts), name)
            rows = sum(facts.rows for facts in listed.values())
            _require(store, rows == store.rows(split), f"rows of band {band}")


def _require(store: Store, holds: bool, what: str) -> None:
    if not holds:
        raise CorruptionError(f"{store.path / MANIFEST_NAME} does not describe a store: impossible value for {what}")


def _checked_size(path: Path, name: str, facts: FileFacts) -> int:
    try:
        status = inside(path, name).stat()
    except OSError as error:
        raise CorruptionError(f"{path / name} is missing; run bandwise verify --repair") from error
    if not stat.S_ISREG(status.st_mode):
        raise CorruptionError(f"{path / name} is no file, but a folder, pipe or device; run bandwise verify --repair")
    size = status.st_size
    if size != facts.bytes:
        raise CorruptionError(f"{path / name} has {size} bytes, not {facts.bytes}; run bandwise verify --repair")
    return size
