"""Writes the documents of a store again from what remains of it; the images are not needed for that."""

from pathlib import Path

from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import json_bytes, seal
from bandwise.files.locks import folder_lock
from bandwise.files.regular import sha256_bytes
from bandwise.store.layout import CARD_NAME, MANIFEST_NAME, SAMPLES_NAME, SPLITS, STORE_NAME
from bandwise.store.manifest import build_manifest
from bandwise.store.samplefile import read_samples
from bandwise.store.writing.card import build_card
from bandwise.store.writing.commits import scan_commits
from bandwise.store.writing.documents import read_manifest, read_marker
from bandwise.store.writing.identity import IDENTITY_KEYS, commit_key, plan_groups

DOCUMENTS = frozenset((STORE_NAME, CARD_NAME, MANIFEST_NAME))


def restore_documents(path: Path, broken: frozenset[str]) -> None:
    """Write STORE.json and README.md again from MANIFEST.json, or MANIFEST.json from all the others.

    Nothing is written unless it has the hash that the manifest gives; what cannot be restored stays as it is.

    Args:
        path: the store.
        broken: all files that are damaged or missing, as `checks.find_problems` returns them.

    Raises:
        LockedError: another process writes to the store.
    """
    if not broken & DOCUMENTS:
        return
    with folder_lock(path):
        if MANIFEST_NAME not in broken:
            _from_manifest(path, broken)
        elif broken == {MANIFEST_NAME}:
            _manifest(path)


def _from_manifest(path: Path, broken: frozenset[str]) -> None:
    manifest = read_manifest(path)
    identity = {key: manifest[key] for key in IDENTITY_KEYS}
    splits = tuple(split for split in SPLITS if manifest["splits"][split]["groups"])
    contents = {
        STORE_NAME: json_bytes(seal(identity)),
        CARD_NAME: build_card(identity, tuple(manifest["bands"]), splits).encode(),
    }
    for name, content in contents.items():
        as_it_was = sha256_bytes(content) == manifest["files"][name]["sha256"]
        if name in broken and as_it_was and not (path / name).is_dir():
            write_bytes(path / name, content)


def _manifest(path: Path) -> None:
    if (path / MANIFEST_NAME).is_dir():
        return
    identity = read_marker(path)
    samples = read_samples(path / SAMPLES_NAME, identity["classes"])
    if samples.sha256() != identity["samples"]["sha256"]:
        return
    count = identity["config"]["stride"] ** 2
    groups = plan_groups(samples, identity["group_size"])
    commits = scan_commits(path, commit_key(identity), groups, count)
    finished = commits.finished_bands(groups, count)
    try:
        manifest = build_manifest(path, identity, samples, groups, commits, finished)
    except (LookupError, StopIteration, CorruptionError, IncompatibleError):
        return
    write_bytes(path / MANIFEST_NAME, json_bytes(manifest))
