"""Writes what is broken in a store again: documents from what remains of it, groups of samples from the source."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from bandwise.config import SplitConfig, format_bands, parse_bands
from bandwise.config.configfile import merge
from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import json_bytes, seal, write_document
from bandwise.files.locks import folder_lock
from bandwise.files.regular import sha256_bytes
from bandwise.files.schema import plain
from bandwise.sources.samples import freeze_samples
from bandwise.sources.source import Source
from bandwise.store.layout import (
    CARD_NAME,
    COMMITS_NAME,
    MANIFEST_NAME,
    SPLITS,
    STORE_NAME,
    band_folder,
    parse_commit_file,
)
from bandwise.store.manifest import FileFacts, Identity, Manifest
from bandwise.store.writing.conversion import Conversion, Options
from bandwise.store.writing.derive import build_card, manifest_of_files
from bandwise.store.writing.workers import DECODE_TIMEOUT_S


def restore_documents(path: Path, broken: frozenset[str]) -> None:
    """Write STORE.json and README.md again from MANIFEST.json, or MANIFEST.json from all the others.

    Nothing is written unless it has the hash that the manifest gives; what cannot be restored stays as it is.
    """
    documents = broken & {STORE_NAME, CARD_NAME, MANIFEST_NAME}
    if not documents or any((path / name).is_dir() for name in documents):
        return
    with folder_lock(path):
        if broken == {MANIFEST_NAME}:
            with contextlib.suppress(CorruptionError, IncompatibleError):
                write_document(path / MANIFEST_NAME, plain(manifest_of_files(path)))
        if MANIFEST_NAME in broken:
            return
        for name, content in derived_documents(Manifest.read(path)).items():
            if name in documents:
                write_bytes(path / name, content)


def derived_documents(manifest: Manifest) -> dict[str, bytes]:
    """Return STORE.json and README.md as a manifest decides them, without one that another version has written."""
    splits = {split for split in SPLITS if manifest.splits[split].groups}
    contents = {
        STORE_NAME: json_bytes(seal(plain(manifest.shared()))),
        CARD_NAME: build_card(manifest, manifest.bands, splits).encode(),
    }
    return {name: own for name, own in contents.items() if sha256_bytes(own) == manifest.files[name].sha256}


def repair_store(path: Path, source: Source, broken: frozenset[str], expected_files: Mapping[str, FileFacts]) -> None:
    """Write again every file that a broken file was committed with, with the bytes it had."""
    if folders := sorted(name for name in broken if (path / name).is_dir()):
        raise CorruptionError(f"{path}: in the place of {', '.join(folders)} there is a folder; move it away")
    identity, bands = _identity_and_bands(path, broken)
    config = merge(SplitConfig(), {**identity.config, "bands": format_bands(bands)})
    samples = freeze_samples(source, config, allow_empty_class=True)
    conversion = Conversion(source, config, path, samples)
    conversion.continue_as(identity)
    # A picture that brings the decoder down does so again.
    options = Options(max_bad=len(samples), decode_timeout=DECODE_TIMEOUT_S)
    with folder_lock(path):
        conversion.repair(options, _records_to_write(path, broken, identity.band_count), expected_files)


def _identity_and_bands(path: Path, broken: frozenset[str]) -> tuple[Identity, tuple[int, ...]]:
    if MANIFEST_NAME not in broken:
        manifest = Manifest.read(path)
        return Identity(**manifest.shared()), manifest.bands
    if STORE_NAME in broken:
        raise CorruptionError(
            f"{path}: {STORE_NAME} and {MANIFEST_NAME} are both damaged, so nothing says how it was made; "
            "delete the folder and split again"
        )
    identity = Identity.read(path)
    parsed = (parse_commit_file(name, identity.band_count) for name in _record_names(path))
    bands = {band for record in parsed if record for band in record[2]}
    return identity, tuple(sorted(bands)) or parse_bands("all", identity.band_count)


def _record_names(path: Path) -> set[str]:
    return {f"{COMMITS_NAME}/{record.name}" for record in (path / COMMITS_NAME).glob("*.json")}


def _records_to_write(path: Path, broken: frozenset[str], band_count: int) -> frozenset[str]:
    """Return the commit records that are broken themselves, or that cover a broken file."""
    found: set[str] = set()
    for name in broken | _record_names(path):
        if parsed := parse_commit_file(name, band_count):
            split, group, bands = parsed
            prefixes = tuple(f"{band_folder(band)}/{split}-{group:05d}-of-" for band in bands)
            if name in broken or any(file.startswith(prefixes) for file in broken):
                found.add(name)
    return frozenset(found)
