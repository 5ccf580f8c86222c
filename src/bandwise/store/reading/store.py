"""A finished store, opened for reading: its manifest checked, its sizes bounded, its statistics at hand."""

import math
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.config.configfile import merge
from bandwise.errors import BandwiseError, CorruptionError, UsageError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes, sha256_file
from bandwise.store.layout import (
    MANIFEST_NAME,
    MAX_ROWS,
    SAMPLES_NAME,
    SPLITS,
    band_file,
    format_bands,
    inside,
    record_header,
)
from bandwise.store.writing.documents import read_manifest, read_marker

_MAX_ROWS_A_BYTE = 64


@dataclass(frozen=True)
class Store:
    """The sub-datasets of one split, complete and checked at open.

    Attributes:
        path: the folder.
        manifest: MANIFEST.json as it stands.
        config: the split; `bands` lists the bands that are stored.
        transform: the transform that made the bands.
        bands: the bands this object may read, in increasing order.
        digest: SHA-256 over what all bands share (configuration, sample list, classes, canvas pixels). Two folders with
            different bands of one split have the same digest, so their branches can be fused.
    """

    path: Path
    manifest: dict[str, Any]
    config: SplitConfig
    transform: SubbandTransform
    bands: tuple[int, ...]
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the label of a sample is an index into them."""
        return tuple(self.manifest["classes"])

    @property
    def channels(self) -> int:
        """1 or 3 colour channels."""
        return self.manifest["channels"]

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
        return self.manifest["splits"][self._known(split)]["rows"]

    def ids(self, split: str) -> np.ndarray:
        """Return the ids of the stored samples of a split in order, int64 (rows,)."""
        return self._stored_samples[self._known(split)][0]

    def labels(self, split: str) -> np.ndarray:
        """Return the labels of the stored samples of a split in order, int32 (rows,)."""
        return self._stored_samples[self._known(split)][1]

    def mean(self, bands: Sequence[int]) -> np.ndarray:
        """Return the mean of the stored values over the training samples, float64 (len(bands), channels)."""
        return self._moments("mean", bands)

    def std(self, bands: Sequence[int]) -> np.ndarray:
        """Return their standard deviation, float64 (len(bands), channels); 0 where a band is constant."""
        return self._moments("std", bands)

    def files(self, band: int, split: str) -> list[str]:
        """Return the files of one band and split in id order, relative to the store."""
        count = self.manifest["splits"][self._known(split)]["groups"]
        return [band_file(self._readable(band), split, group, count) for group in range(count)]

    def band_bytes(self, band: int) -> int:
        """Return the bytes of all files of one band."""
        facts = self.manifest["files"]
        return sum(facts[name]["bytes"] for split in SPLITS for name in self.files(band, split))

    def _known(self, split: str) -> str:
        if split not in SPLITS:
            raise UsageError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        return split

    def _readable(self, band: int) -> int:
        if band not in self.bands:
            raise UsageError(
                f"{self.path} was opened with bands {format_bands(self.bands)}; band {band} is not one of them"
            )
        return band

    def _moments(self, which: str, bands: Sequence[int]) -> np.ndarray:
        statistics = self.manifest["statistics"]
        return np.array([statistics[str(self._readable(band))][which] for band in bands], dtype=np.float64)

    @cached_property
    def _stored_samples(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        path = self.path / SAMPLES_NAME
        if sha256_file(path) != self.manifest["files"][SAMPLES_NAME]["sha256"]:
            raise CorruptionError(f"{path} is not the file that the manifest describes; run bandwise verify --repair")
        table = pq.read_table(path, columns=["id", "label"], page_checksum_verification=True)
        ids, labels = table["id"].to_numpy(), table["label"].to_numpy()
        stored = np.ones(len(ids), dtype=bool)
        stored[[sample["id"] for sample in self.manifest["bad"]]] = False
        found, start = {}, 0
        for split in SPLITS:
            stop = start + self.manifest["splits"][split]["samples"]
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
    read_marker(path)
    if not (path / MANIFEST_NAME).exists():
        raise CorruptionError(f"{path}: conversion not finished: run split again with the same options to finish it")
    manifest = read_manifest(path)
    try:
        store = _interpret(path, manifest, bands)
        _check_files(store)
    except BandwiseError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        OSError,
        pa.ArrowException,
    ) as error:
        raise CorruptionError(
            f"{path / MANIFEST_NAME} does not describe a store: {type(error).__name__} {error}"
        ) from error
    return store


def read_source_facts(path: Path) -> dict[str, Any]:
    """Return what identifies the source of a store (`Source.fingerprint`); the store need not be finished.

    Raises:
        UsageError, CorruptionError, IncompatibleError: as `read_marker`.
    """
    try:
        return read_marker(path)["source"]
    except (CorruptionError, UsageError):
        if not (path / MANIFEST_NAME).exists():
            raise
        return read_manifest(path)["source"]


def _interpret(path: Path, manifest: dict[str, Any], bands: Sequence[int] | None) -> Store:
    stored = tuple(sorted(manifest["bands"]))
    wanted = stored if bands is None else tuple(sorted(set(bands)))
    try:
        config = merge(SplitConfig(), {**manifest["config"], "bands": format_bands(stored)})
    except UsageError as error:
        raise CorruptionError(f"{path / MANIFEST_NAME} holds an impossible configuration: {error}") from error
    if missing := sorted(set(wanted) - set(stored)):
        raise UsageError(
            f"{path} holds bands {format_bands(stored)}; bands {format_bands(tuple(missing))} are missing: "
            f"run split with --bands {format_bands(tuple(missing))} to add them"
        )
    shared = {key: manifest[key] for key in ("config", "classes", "channels", "samples", "canvas_digests")}
    transform = SubbandTransform(config.stride, config.transform, config.transform_seed)
    return Store(path, manifest, config, transform, wanted, sha256_bytes(json_bytes(shared)))


def _check_files(store: Store) -> None:
    manifest = store.manifest
    _require(all(isinstance(name, str) for name in manifest["classes"]), "classes")
    _require(manifest["channels"] in (1, 3), "channels")
    total = 0
    for split in SPLITS:
        counts = manifest["splits"][split]
        _require(
            all(type(counts[key]) is int and 0 <= counts[key] < MAX_ROWS for key in ("groups", "samples", "rows")),
            split,
        )
        _require(counts["rows"] <= counts["samples"] and counts["groups"] <= counts["samples"], split)
        total += counts["samples"]
    facts = manifest["files"]
    _require(total <= _MAX_ROWS_A_BYTE * _checked_size(store.path, SAMPLES_NAME, facts[SAMPLES_NAME]), "samples")
    _require(pq.read_metadata(store.path / SAMPLES_NAME).num_rows == total, "samples")
    for band in store.bands:
        for split in SPLITS:
            rows = sum(_checked_rows(store.path, name, facts[name]) for name in store.files(band, split))
            _require(rows == manifest["splits"][split]["rows"], f"rows of band {band}")
        for values in (store.mean([band]), store.std([band])):
            _require(values.shape == (1, store.channels) and math.isfinite(values.sum()), f"statistics of band {band}")
    bad = [sample["id"] for sample in manifest["bad"]]
    _require(all(type(sample) is int and 0 <= sample < total for sample in bad), "bad samples")


def _checked_size(path: Path, name: str, facts: dict[str, Any]) -> int:
    try:
        status = inside(path, name).stat()
    except FileNotFoundError as error:
        raise CorruptionError(f"{path / name} is missing; run bandwise verify --repair") from error
    if not stat.S_ISREG(status.st_mode):
        raise CorruptionError(f"{path / name} is no file, but a folder, pipe or device; run bandwise verify --repair")
    size = status.st_size
    if size != facts["bytes"]:
        raise CorruptionError(f"{path / name} has {size} bytes, not {facts['bytes']}; run bandwise verify --repair")
    return size


def _checked_rows(path: Path, name: str, facts: dict[str, Any]) -> int:
    size, rows = _checked_size(path, name, facts), facts["rows"]
    _require(type(rows) is int and 0 <= rows <= _MAX_ROWS_A_BYTE * size, name)
    return rows


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"impossible value for {what}")
