"""Writes one group of samples: its files in every band, then the commit record that makes them count."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, IncompatibleError, Preempted
from bandwise.files.atomic import replacing
from bandwise.files.documents import write_document
from bandwise.files.schema import plain
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode_canvas
from bandwise.sources.source import Source
from bandwise.store.duplicates import content_hash, pack_hashes
from bandwise.store.layout import SampleGroup
from bandwise.store.manifest import BadSample, CommitKey, CommitRecord, FileFacts
from bandwise.store.writing.records import BandFileWriter, RecordBlock

Stage = Literal["read", "decode", "store"]
CRASHED, TIMED_OUT = "decoder crashed", "decoder timed out"
# Without a signal or a number of seconds: the same picture must give the same record on every machine.
_SKIPPED = {
    CRASHED: "decoding it ended the process, also alone in a fresh one",
    TIMED_OUT: "decoding it took longer than --decode-timeout, also alone in a fresh process",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What all groups of one split have in common; sent once to every worker."""

    out: Path
    source: Source
    config: SplitConfig
    key: CommitKey


@dataclass(frozen=True, slots=True)
class Job:
    """One group to write, in one go for some bands."""

    group: SampleGroup
    bands: tuple[int, ...]
    record: str
    """Name of the commit record."""
    paths: tuple[bytes, ...]
    labels: tuple[int, ...]
    sizes: tuple[int, ...]
    """In bytes, as they were listed; 0 where that is not known."""
    other: CommitRecord | None
    """A record of other bands of the group; the new one must have the same pictures, bad ones too."""
    expected_files: Mapping[str, FileFacts]
    """What files must come out as, where a finished store is repaired."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Pictures that are skipped, by id, and why."""


def write_group(work: Work, job: Job, step: Callable[[int, Stage], None]) -> CommitRecord:
    """Write the files of one group and commit them; a pure function of source, configuration and library versions.

    `step` is called with the id of a picture before it is read, decoded and stored; it may raise to stop, and then
    nothing of the group remains.
    """
    block = RecordBlock(work.config, job.bands, work.source.channels)
    bad: list[BadSample] = []
    notes: Counter[str] = Counter()
    hashes: list[bytes] = []
    with _band_files(work, job) as writers:
        for sample, path, label, size in zip(job.group.ids, job.paths, job.labels, job.sizes, strict=True):
            try:
                canvas, found, digest = _load(work, job, sample, path, size, step)
                block.add(sample, label, canvas)
            except BadImage as error:
                # Some decoders print the address of an object, which differs from run to run.
                detail = re.sub(r" at 0x[0-9a-fA-F]+", "", error.detail)
                bad.append(BadSample(sample, path.decode("utf-8", "surrogateescape"), error.reason, detail))
                continue
            except MemoryError as error:
                raise BandwiseError(
                    f"memory was short at {_shown(path)} of {work.source.name}; nothing was recorded of it: run again, "
                    "with fewer --workers"
                ) from error
            notes.update(found)
            hashes.append(digest)
            if block.full:
                _flush(block, writers)
        if block.rows:
            _flush(block, writers)
        record = CommitRecord(
            config_sha256=work.key.config_sha256,
            samples_sha256=work.key.samples_sha256,
            versions=work.key.versions,
            split=job.group.split,
            group=job.group.index,
            ids=(job.group.ids.start, job.group.ids.stop),
            bands=job.bands,
            rows=len(job.paths) - len(bad),
            bad=tuple(bad),
            notes=dict(notes),
            canvas_digest=block.canvas_digest(),
            digests=block.digests(),
            statistics=block.statistics(),
            files={job.group.band_file(band): writers[band].close() for band in job.bands},
            hashes=pack_hashes(hashes),
        )
        _require_expected(work, job, record)
    write_document(work.out / job.record, plain(record))
    return record


def stopped(work: Work) -> Preempted:
    """Return the error of a split that was asked to stop."""
    return Preempted(f"{work.out}: stopped; finished groups are kept, the same command continues")


@contextlib.contextmanager
def _band_files(work: Work, job: Job) -> Iterator[dict[int, BandFileWriter]]:
    """Open the file of each band under a temporary name; where the block closes them all, they get their names."""
    with contextlib.ExitStack() as stack:
        writers: dict[int, BandFileWriter] = {}
        for band in job.bands:
            path = stack.enter_context(replacing(work.out / job.group.band_file(band)))
            writers[band] = BandFileWriter(
                path, codec=work.config.codec, storage=work.config.storage, channels=work.source.channels
            )
            stack.callback(writers[band].abandon)
        yield writers


def _load(
    work: Work, job: Job, sample: int, path: bytes, size: int, step: Callable[[int, Stage], None]
) -> tuple[np.ndarray, tuple[str, ...], bytes]:
    """Return canvas, notes and hash of a picture."""
    if reason := job.skipped.get(sample):
        raise BadImage(reason, _SKIPPED[reason])
    step(sample, "read")
    encoded = _read(work, path, size)
    step(sample, "decode")
    canvas, notes = decode_canvas(encoded, path, work.source.channels, work.config)
    step(sample, "store")
    return canvas, notes, content_hash(encoded)


def _read(work: Work, path: bytes, size: int) -> bytes | np.ndarray:
    try:
        encoded = work.source.read(path)
    except OSError as error:
        raise BandwiseError(
            f"cannot read {_shown(path)} of {work.source.name}: {error}; "
            "the storage failed, so nothing was recorded: run again to continue"
        ) from error
    length = encoded.nbytes if isinstance(encoded, np.ndarray) else len(encoded)
    if size and length != size:
        raise IncompatibleError(
            f"{_shown(path)} of {work.source.name} has {length} bytes, {size} when it was listed: the source has "
            "changed; start again in another folder, or put the old file back"
        )
    return encoded


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _flush(block: RecordBlock, writers: dict[int, BandFileWriter]) -> None:
    ids, labels, records = block.take()
    for writer, encoded in zip(writers.values(), records, strict=True):
        writer.add(ids, labels, encoded)


def _require_expected(work: Work, job: Job, record: CommitRecord) -> None:
    changed = [] if job.other is None else record.differing(job.other)
    changed += [name for name, facts in record.files.items() if job.expected_files.get(name, facts) != facts]
    if changed:
        raise IncompatibleError(
            f"{work.out}: {job.record} came out otherwise than before ({', '.join(changed)}): "
            f"pictures of {work.source.name} have changed since; nothing was replaced"
        )
