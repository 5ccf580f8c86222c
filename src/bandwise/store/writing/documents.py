"""The two JSON documents of a store that are read before anything else."""

from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.documents import read_sealed
from bandwise.store.layout import FORMAT, MANIFEST_NAME, STORE_NAME, VERSION


def read_marker(path: Path) -> dict[str, Any]:
    """Return STORE.json of a folder, after checking that the folder is a store of a format that we read.

    Raises:
        UsageError: there is no STORE.json.
        CorruptionError: it is damaged.
        IncompatibleError: the format is newer.
    """
    if not (path / STORE_NAME).exists():
        raise UsageError(f"{path} is not a store: it has no {STORE_NAME}; give the folder that bandwise split wrote")
    return _read_versioned(path / STORE_NAME)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return MANIFEST.json of a store after checking its version and its own hash.

    Raises:
        CorruptionError: it is missing or damaged, or does not list files and bands as a manifest does.
        IncompatibleError: the format is newer.
    """
    manifest = _read_versioned(path / MANIFEST_NAME)
    files, bands = manifest.get("files"), manifest.get("bands")
    listed = isinstance(files, dict) and all(_is_listing(facts) for facts in files.values())
    if not listed or not (isinstance(bands, list) and all(type(band) is int for band in bands)):
        raise CorruptionError(f"{path / MANIFEST_NAME} does not describe a store: impossible value for files or bands")
    return manifest


def _is_listing(facts: Any) -> bool:
    return isinstance(facts, dict) and type(facts.get("bytes")) is int and isinstance(facts.get("sha256"), str)


def _read_versioned(path: Path) -> dict[str, Any]:
    content = read_sealed(path)
    version = content.get("version")
    if content.get("format") != FORMAT or not (isinstance(version, list) and len(version) == 2):
        raise CorruptionError(f"{path} is damaged: format {content.get('format')!r}, version {version!r}")
    if version[0] != VERSION[0]:
        raise IncompatibleError(f"{path} has format version {version[0]}; this bandwise reads version {VERSION[0]}")
    return content
