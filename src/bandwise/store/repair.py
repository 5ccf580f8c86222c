"""Computes the broken groups of a store again from the source, and only those."""

from pathlib import Path
from typing import Any

from bandwise.config import SplitConfig
from bandwise.config.branches import parse_bands
from bandwise.config.configfile import merge
from bandwise.errors import CorruptionError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import json_bytes, seal
from bandwise.files.locks import folder_lock
from bandwise.sources.samples import freeze_samples
from bandwise.sources.source import Source
from bandwise.store.checks import recorded_files
from bandwise.store.layout import COMMITS_NAME, MANIFEST_NAME, STORE_NAME, format_bands
from bandwise.store.writing.commits import parse_record_name
from bandwise.store.writing.conversion import Conversion
from bandwise.store.writing.documents import read_manifest, read_marker
from bandwise.store.writing.identity import require_same
from bandwise.store.writing.workers import DECODE_TIMEOUT_S


def repair_store(path: Path, source: Source, broken: frozenset[str], *, workers: int = 1) -> None:
    """Write again every file that a broken file was committed with, with the bytes it had.

    Args:
        path: the store; its STORE.json or its MANIFEST.json must be readable.
        source: the images it was made from.
        broken: names of the files that are damaged or missing, as `checks.find_problems` returns them.
        workers: processes.

    Raises:
        CorruptionError: neither STORE.json nor MANIFEST.json can be read.
        IncompatibleError: the source or the libraries are not those of the store; nothing was replaced.
        LockedError, NoSpaceError: as `split_dataset`.
    """
    if folders := sorted(name for name in broken if (path / name).is_dir()):
        raise CorruptionError(f"{path}: in the place of {', '.join(folders)} there is a folder; move it away")
    identity, bands = _what_it_was(path, broken)
    config = merge(SplitConfig(), {**identity["config"], "bands": format_bands(bands)})
    samples = freeze_samples(source, config, allow_empty_class=True)
    conversion = Conversion(source, config, path, samples)
    held = {key: identity[key] for key in conversion.identity}
    require_same(str(path), held, conversion.identity)
    with folder_lock(path):
        if STORE_NAME in broken:
            write_bytes(path / STORE_NAME, json_bytes(seal(held)))
        conversion.run(
            workers=workers,
            max_bad=len(samples),
            stop=lambda: False,
            # A picture that brings the decoder down does so again.
            decode_timeout=DECODE_TIMEOUT_S,
            redo=_records_of(path, broken, config.stride**2),
            expected_files=recorded_files(path),
        )


def _what_it_was(path: Path, broken: frozenset[str]) -> tuple[dict[str, Any], tuple[int, ...]]:
    if MANIFEST_NAME not in broken:
        manifest = read_manifest(path)
        return manifest, tuple(manifest["bands"])
    if STORE_NAME in broken:
        raise CorruptionError(
            f"{path}: {STORE_NAME} and {MANIFEST_NAME} are both damaged, so nothing says how it was made; "
            "delete the folder and split again"
        )
    marker = read_marker(path)
    count = marker["config"]["stride"] ** 2
    parsed = (parse_record_name(record.name, count) for record in (path / COMMITS_NAME).glob("*.json"))
    bands = {band for record in parsed if record for band in record[2]}
    return marker, tuple(sorted(bands)) or parse_bands("all", count)


def _records_of(path: Path, broken: frozenset[str], band_count: int) -> frozenset[str]:
    """Return the commit records that are broken themselves, or that cover a broken file."""
    found: set[str] = set()
    lost = {name.removeprefix(f"{COMMITS_NAME}/") for name in broken}
    for name in lost.union(record.name for record in (path / COMMITS_NAME).glob("*.json")):
        parsed = parse_record_name(name, band_count)
        if parsed is None:
            continue
        split, group, bands = parsed
        prefixes = tuple(f"band-{band:02d}/{split}-{group:05d}-of-" for band in bands)
        if f"{COMMITS_NAME}/{name}" in broken or any(file.startswith(prefixes) for file in broken):
            found.add(f"{COMMITS_NAME}/{name}")
    return frozenset(found)
