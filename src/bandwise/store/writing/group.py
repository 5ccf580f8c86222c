"""Writes one group of samples: its files in every band, then the commit record that makes them count."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, IncompatibleError, Preempted
from bandwise.files.atomic import replacing
from bandwise.files.documents import seal, write_json
from bandwise.sources.decoding.decode import BadImage, decode_canvas
from bandwise.sources.source import Source
from bandwise.store.layout import band_file
from bandwise.store.writing.bandfile import BandFileWriter
from bandwise.store.writing.duplicates import content_hash, pack_hashes
from bandwise.store.writing.identity import Group
from bandwise.store.writing.records import RecordBlock

Stage = Literal["read", "decode", "store"]
CRASHED, TIMED_OUT = "decoder crashed", "decoder timed out"
# Without a signal or a number of seconds: the same picture must give the same record on every machine.
_CONDEMNED = {
    CRASHED: "decoding it ended the process, also alone in a fresh one",
    TIMED_OUT: "decoding it took longer than --decode-timeout, also alone in a fresh process",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What all groups of one split have in common; sent once to every worker.

    Attributes:
        out: folder of the store.
        source: where the pictures come from.
        config: the split.
        key: `identity.commit_key`, kept in every record.
    """

    out: Path
    source: Source
    config: SplitConfig
    key: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One group to write, in one go for some bands.

    Attributes:
        group: which ids.
        bands: the bands to write.
        record: name of the commit record.
        paths: names of the samples inside the source, one an id.
        labels: their labels.
        sizes: their bytes as they were listed, 0 where that is not known.
        expected: what the new record must agree with: `bad` and `canvas_digest` where other bands of the group are
            committed already.
        expected_files: facts that files must agree with, by name, where a finished store is repaired.
    """

    group: Group
    bands: tuple[int, ...]
    record: str
    paths: tuple[bytes, ...]
    labels: tuple[int, ...]
    sizes: tuple[int, ...]
    expected: dict[str, Any]
    expected_files: dict[str, Any]
    condemned: dict[int, str] = field(default_factory=dict)


def write_group(work: Work, job: Job, step: Callable[[int, Stage], None]) -> dict[str, Any]:
    """Write the files of one group and commit them; a pure function of source, configuration and library versions.

    Args:
        work: what all groups share.
        job: which group and bands.
        step: called with the id of a picture before it is read, decoded and stored; it may raise to stop, and then
            nothing of the group remains.

    Returns:
        The content of the commit record.

    Raises:
        NoSpaceError: the disk is full.
        IncompatibleError: the pictures are not those of `job.expected`, or not as long as they were when listed.
        BandwiseError: the storage of the source fails.
    """
    group = job.group
    names = [band_file(band, group.split, group.index, group.count) for band in job.bands]
    with contextlib.ExitStack() as renames:
        paths = [renames.enter_context(replacing(work.out / name)) for name in names]
        with contextlib.ExitStack() as files:
            writers: list[BandFileWriter] = []
            for path in paths:
                writers.append(BandFileWriter(path, codec=work.config.codec, storage=work.config.storage))
                files.callback(writers[-1].abandon)
            facts = _fill(work, job, writers, step)
            facts["files"] = {name: writer.close() for name, writer in zip(names, writers, strict=True)}
            files.pop_all()
        _require_expected(work, job, facts)
    record = seal(
        {
            **work.key,
            "split": group.split,
            "group": group.index,
            "ids": [group.ids.start, group.ids.stop],
            "bands": list(job.bands),
            **facts,
        }
    )
    write_json(work.out / job.record, record)
    return record


def stopped(work: Work) -> Preempted:
    """Return the error of a split that was asked to stop."""
    return Preempted(f"{work.out}: stopped; finished groups are kept, the same command continues")


def _fill(work: Work, job: Job, writers: list[BandFileWriter], step: Callable[[int, Stage], None]) -> dict[str, Any]:
    block = RecordBlock(work.config, job.bands, work.source.channels)
    bad: list[dict[str, Any]] = []
    notes: Counter[str] = Counter()
    hashes: list[bytes] = []
    for sample, path, label, size in zip(job.group.ids, job.paths, job.labels, job.sizes, strict=True):
        try:
            if reason := job.condemned.get(sample):
                raise BadImage(reason, _CONDEMNED[reason])
            step(sample, "read")
            encoded = _read(work, path, size)
            step(sample, "decode")
            canvas, found = decode_canvas(encoded, path, work.source.channels, work.config)
            step(sample, "store")
            block.add(sample, label, canvas)
        except BadImage as error:
            name = path.decode("utf-8", "surrogateescape")
            # Some decoders print the address of an object, which differs from run to run.
            detail = re.sub(r" at 0x[0-9a-fA-F]+", "", error.detail)
            bad.append({"id": sample, "path": name, "reason": error.reason, "detail": detail})
            continue
        except MemoryError as error:
            raise BandwiseError(
                f"memory was short at {_shown(path)} of {work.source.name}; nothing was recorded of it: run again, "
                "with fewer --workers"
            ) from error
        notes.update(found)
        hashes.append(content_hash(encoded))
        if block.full:
            _flush(block, writers)
    if block.rows:
        _flush(block, writers)
    return {
        "bad": bad,
        "notes": dict(sorted(notes.items())),
        "rows": len(job.paths) - len(bad),
        "hashes": pack_hashes(hashes),
        **block.summary(),
    }


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


def _flush(block: RecordBlock, writers: list[BandFileWriter]) -> None:
    ids, labels, records = block.take()
    for writer, encoded in zip(writers, records, strict=True):
        writer.add(ids, labels, encoded)


def _require_expected(work: Work, job: Job, facts: dict[str, Any]) -> None:
    changed = [key for key, value in job.expected.items() if facts[key] != value]
    changed += [name for name, found in facts["files"].items() if job.expected_files.get(name, found) != found]
    if changed:
        raise IncompatibleError(
            f"{work.out}: {job.record} came out otherwise than before ({', '.join(changed)}): "
            f"pictures of {work.source.name} have changed since; nothing was replaced"
        )
