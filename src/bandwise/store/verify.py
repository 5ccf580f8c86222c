"""`bandwise verify`: a store is as it was written, or every file that is not is named and, where asked, repaired."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.atomic import TEMPORARY_PREFIX
from bandwise.files.documents import read_sealed, seal
from bandwise.files.regular import sha256_file
from bandwise.files.schema import parse, plain
from bandwise.progress import progress
from bandwise.sources.source import Source
from bandwise.store.layout import (
    COMMITS_NAME,
    MANIFEST_NAME,
    SPLITS,
    STORE_NAME,
    band_file,
    inside,
    parse_commit_file,
)
from bandwise.store.manifest import CommitRecord, FileFacts, Identity, Manifest
from bandwise.store.reading.bandfiles import open_band_file
from bandwise.store.reading.store import naming_damage, open_store, require_finished
from bandwise.store.repair import repair_store, restore_documents
from bandwise.store.writing.derive import manifest_of_files

FOREIGN = "not part of the store; move it away"
_SHOWN = 20


class VerifiedFiles:
    """Files that were read and had the right hash; none is read again before somebody writes to it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stamps: dict[tuple[Path, str], tuple[int, ...]] = {}

    def check(self, file: Path, facts: FileFacts) -> None:
        """Compare a file with what is known of it."""
        if not file.exists():
            raise CorruptionError("missing")
        if not file.is_file():
            raise CorruptionError("no file, but a folder, pipe, socket or device")
        status = file.stat()
        if status.st_size != facts.bytes:
            raise CorruptionError(f"{status.st_size} bytes instead of {facts.bytes}")
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if self._stamps.get((file, facts.sha256)) == stamp:
            return
        if sha256_file(file) != facts.sha256:
            raise CorruptionError("altered: its SHA-256 is not the one of the file that was written")
        self._stamps[file, facts.sha256] = stamp


def verify_store(
    path: Path,
    *,
    repair: bool = False,
    source: Source | None = None,
    sound: VerifiedFiles | None = None,
    bands: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """Compare every byte of a store with its hashes, every row with the sample list, the manifest with its parts.

    A repair writes broken documents again from the others, and computes broken groups again from the images in
    `source`; these are not needed where only STORE.json, README.md or MANIFEST.json is damaged. A `CorruptionError`
    names each file that is damaged, missing or foreign. Of a copy that holds some bands only, `bands` names them; a
    repair needs all. Returns what was checked and repaired, ready for JSON.
    """
    sound = sound or VerifiedFiles()
    problems = find_problems(path, sound, bands)
    repaired: list[str] = []
    if repair and (broken := _broken(problems)):
        repaired = sorted(broken)
        restore_documents(path, broken)
        problems = find_problems(path, sound)
        if broken := _broken(problems):
            if source is None:
                raise UsageError(
                    f"{path}: {', '.join(sorted(broken)[:_SHOWN])} can only be made again from the images that "
                    "the store was made from: say where they are with --data"
                )
            repair_store(path, source, broken, recorded_files(path))
            problems = find_problems(path, sound)
    if problems:
        lines = [f"{name}: {what}" for name, what in sorted(problems.items())]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise CorruptionError(
            f"{path}: {len(lines)} files are not as they were written:\n  " + "\n  ".join(lines[:_SHOWN] + more) + "\n"
            "run bandwise verify --repair to compute broken files again; move foreign files away"
        )
    store = open_store(path, bands)
    files = store.manifest.files_of(bands)
    return {
        "store": str(path),
        "ok": True,
        "bands": list(store.bands),
        **{split: store.rows(split) for split in SPLITS},
        "files": len(files),
        "bytes": sum(facts.bytes for facts in files.values()),
        "unfinished": _unlisted_files(path, store.manifest)[1],
        "repaired": repaired,
    }


def find_problems(
    path: Path, sound: VerifiedFiles | None = None, bands: tuple[int, ...] | None = None
) -> dict[str, str]:
    """Read every byte of a store, but for the files that are known to be sound, and return what is wrong, by file name.

    `bands` are those that a copy holds, all when None. Only a store that is missing, unfinished or of a newer format
    raises.
    """
    sound = sound or VerifiedFiles()
    problems: dict[str, str] = {}
    if (path / MANIFEST_NAME).exists() and not (path / STORE_NAME).exists():
        problems[STORE_NAME] = "missing"
    else:
        with _noted(problems, STORE_NAME):
            Identity.read(path)
    require_finished(path)
    manifest: Manifest | None = None
    with _noted(problems, MANIFEST_NAME):
        manifest = Manifest.read(path)
    files = recorded_files(path) if manifest is None else manifest.files_of(bands)
    with progress("verify", len(files), "files") as advance:
        for name, facts in files.items():
            with _noted(problems, name):
                sound.check(inside(path, name), facts)
            advance(1)
    if manifest is None:
        return problems
    problems |= dict.fromkeys(_unlisted_files(path, manifest)[0], FOREIGN)
    if not problems and bands is None:
        # Commit records count only where the files of all their bands are here.
        with _noted(problems, MANIFEST_NAME):
            _check_derivation(path, manifest)
    if not problems:
        _check_rows(path, problems, bands)
    return problems


def recorded_files(path: Path) -> Mapping[str, FileFacts]:
    """Return the facts of all files that the manifest lists, or the commit records where the manifest is damaged."""
    with contextlib.suppress(CorruptionError):
        return Manifest.read(path).files
    files: dict[str, FileFacts] = {}
    for record in sorted((path / COMMITS_NAME).glob("*.json")):
        with contextlib.suppress(CorruptionError):
            files |= parse(CommitRecord, read_sealed(record), record).files
    return files


def _broken(problems: dict[str, str]) -> frozenset[str]:
    return frozenset(name for name, what in problems.items() if what != FOREIGN)


def _unlisted_files(path: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Return the files that are foreign, and those that a run has left which adds bands and is not finished.

    Names that begin with a dot (`.gitattributes`, what an interrupted run left) are passed over.
    """
    listed = {*manifest.files, MANIFEST_NAME}
    foreign: list[str] = []
    unfinished: list[str] = []
    to_come = {
        band_file(band, split, group, facts.groups)
        for band in set(range(manifest.band_count)) - set(manifest.bands)
        for split, facts in manifest.splits.items()
        for group in range(facts.groups)
    }
    for found in sorted(path.rglob("*")):
        name = found.relative_to(path).as_posix()
        hidden = name.startswith(".") or found.name.startswith(TEMPORARY_PREFIX)
        if found.is_dir() or hidden or name in listed:
            continue
        record = parse_commit_file(name, manifest.band_count)
        ours = name in to_come or (record is not None and record[1] < manifest.splits[record[0]].groups)
        (unfinished if ours else foreign).append(name)
    return foreign, unfinished


@contextlib.contextmanager
def _noted(problems: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except CorruptionError as error:
        problems[name] = str(error)


def _check_derivation(path: Path, manifest: Manifest) -> None:
    """Compare the manifest with what its parts say, so that a wrong one is noticed even if its own hash fits."""
    try:
        derived = seal(plain(manifest_of_files(path, manifest.bands)))
    except IncompatibleError as error:
        raise CorruptionError(f"the commit records do not cover its bands: {error}") from error
    written = read_sealed(path / MANIFEST_NAME)
    if derived != written:
        changed = sorted(key for key in derived.keys() | written.keys() if derived.get(key) != written.get(key))
        raise CorruptionError(f"does not follow from the commit records: {', '.join(changed)}")


def _check_rows(path: Path, problems: dict[str, str], bands: tuple[int, ...] | None) -> None:
    """Read id and label of every row of every band; all bands must hold the stored samples in order."""
    store = open_store(path, bands)
    for split in SPLITS:
        for band in store.bands:
            start = 0
            for name in store.files(band, split):
                with _noted(problems, name), open_band_file(store, name) as file:
                    with naming_damage(path / name):
                        rows = file.read(columns=["id", "label"])
                    here = slice(start, start := start + len(rows))
                    same_ids = np.array_equal(rows["id"].to_numpy(), store.ids(split)[here])
                    if not (same_ids and np.array_equal(rows["label"].to_numpy(), store.labels(split)[here])):
                        raise CorruptionError("its rows are not the samples of the sample list")
