"""What is wrong with the files of a store, file by file: the work behind `bandwise verify`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError
from bandwise.files.atomic import TEMPORARY_PREFIX
from bandwise.files.documents import read_sealed
from bandwise.files.regular import sha256_file
from bandwise.progress import progress
from bandwise.store.layout import COMMITS_NAME, MANIFEST_NAME, SAMPLES_NAME, SPLITS, STORE_NAME, inside
from bandwise.store.manifest import build_manifest
from bandwise.store.reading.bandfiles import naming_damage, open_band_file
from bandwise.store.reading.store import open_store
from bandwise.store.samplefile import read_samples
from bandwise.store.writing.commits import parse_record_name, scan_commits
from bandwise.store.writing.documents import read_manifest, read_marker
from bandwise.store.writing.identity import commit_key, plan_groups

FOREIGN = "not part of the store; move it away"


def find_problems(path: Path) -> dict[str, str]:
    """Read every byte of a store.

    Returns:
        What is wrong, by file name relative to the store; empty for a sound store.

    Raises:
        UsageError: no store.
        CorruptionError: the conversion is not finished.
        IncompatibleError: a newer format.
    """
    problems: dict[str, str] = {}
    lost = not (path / STORE_NAME).exists()
    if lost and (path / MANIFEST_NAME).exists():
        problems[STORE_NAME] = "missing"
    else:
        with _noting(problems, STORE_NAME):
            read_marker(path)
    if not (path / MANIFEST_NAME).exists():
        raise CorruptionError(f"{path}: conversion not finished: run split again with the same options to finish it")
    with _noting(problems, MANIFEST_NAME):
        read_manifest(path)
    files = recorded_files(path)
    with progress("verify", len(files), "files") as advance:
        for name, facts in files.items():
            with _noting(problems, name):
                _check_file(path, name, facts)
            advance(1)
    if MANIFEST_NAME in problems:
        return problems
    problems |= dict.fromkeys(unlisted_files(path)[0], FOREIGN)
    if not problems:
        with _noting(problems, MANIFEST_NAME):
            _check_derivation(path)
    if not problems:
        _check_rows(path, problems)
    return problems


def recorded_files(path: Path) -> dict[str, Any]:
    """Return the facts of all files that the manifest lists, or the commit records where the manifest is damaged."""
    with contextlib.suppress(CorruptionError):
        return read_manifest(path)["files"]
    files: dict[str, Any] = {}
    for record in sorted((path / COMMITS_NAME).glob("*.json")):
        with contextlib.suppress(CorruptionError):
            files |= read_sealed(record)["files"]
    return files


def unlisted_files(path: Path) -> tuple[list[str], list[str]]:
    """Return the files that are foreign, and those of bands that were begun and are not finished.

    Names that begin with a dot (`.gitattributes`, what an interrupted run left) are passed over.
    """
    manifest = read_manifest(path)
    listed, unknown, unfinished = {*manifest["files"], MANIFEST_NAME}, list[str](), set[str]()
    for found in sorted(path.rglob("*")):
        name = found.relative_to(path).as_posix()
        hidden = name.startswith(".") or found.name.startswith(TEMPORARY_PREFIX)
        if found.is_dir() or hidden or name in listed:
            continue
        unknown.append(name)
        if found.parent.name == COMMITS_NAME and parse_record_name(found.name, manifest["config"]["stride"] ** 2):
            with contextlib.suppress(CorruptionError):
                unfinished |= {name, *read_sealed(found)["files"]}
    return [name for name in unknown if name not in unfinished], [name for name in unknown if name in unfinished]


@contextlib.contextmanager
def _noting(problems: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except CorruptionError as error:
        problems[name] = str(error)


def _check_file(path: Path, name: str, facts: dict[str, Any]) -> None:
    file = inside(path, name)
    if not file.exists():
        raise CorruptionError("missing")
    if not file.is_file():
        raise CorruptionError("no file, but a folder, pipe, socket or device")
    if file.stat().st_size != facts["bytes"]:
        raise CorruptionError(f"{file.stat().st_size} bytes instead of {facts['bytes']}")
    if sha256_file(file) != facts["sha256"]:
        raise CorruptionError("altered: its SHA-256 is not the one of the file that was written")


def _check_derivation(path: Path) -> None:
    """Compare the manifest with what its parts say, so that a wrong one is noticed even if its own hash fits."""
    manifest = read_manifest(path)
    try:
        derived = _derive(path, tuple(manifest["bands"]))
    except (LookupError, StopIteration, IncompatibleError) as error:
        raise CorruptionError(f"the commit records do not cover its bands: {error}") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, BandwiseError):
            raise
        raise CorruptionError(f"{STORE_NAME} does not describe a store: {error}") from error
    if derived != manifest:
        changed = sorted(key for key in derived.keys() | manifest.keys() if derived.get(key) != manifest.get(key))
        raise CorruptionError(f"does not follow from the commit records: {', '.join(changed)}")


def _derive(path: Path, bands: tuple[int, ...]) -> dict[str, Any]:
    identity = read_marker(path)
    samples = read_samples(path / SAMPLES_NAME, identity["classes"])
    if samples.sha256() != identity["samples"]["sha256"]:
        raise CorruptionError(f"{SAMPLES_NAME} is another sample list than {STORE_NAME} names")
    groups = plan_groups(samples, identity["group_size"])
    commits = scan_commits(path, commit_key(identity), groups, identity["config"]["stride"] ** 2)
    return build_manifest(path, identity, samples, groups, commits, bands)


def _check_rows(path: Path, problems: dict[str, str]) -> None:
    """Read id and label of every row of every band; all bands must hold the stored samples in order."""
    store = open_store(path)
    for split in SPLITS:
        for band in store.bands:
            start = 0
            for name in store.files(band, split):
                with _noting(problems, name), open_band_file(store, name) as file:
                    with naming_damage(path / name):
                        rows = file.read(columns=["id", "label"])
                    here = slice(start, start := start + len(rows))
                    same_ids = np.array_equal(rows["id"].to_numpy(), store.ids(split)[here])
                    if not (same_ids and np.array_equal(rows["label"].to_numpy(), store.labels(split)[here])):
                        raise CorruptionError("its rows are not the samples of the sample list")
