"""Where every picture of a set of archives lies: columns in one Arrow file that all processes map and share.

The file lies in `$BANDWISE_HOME/index`, under a name that changes with the archives and the options. It is written
once, complete or not at all, and checked by its hash whenever a source is opened; a worker process that maps it reads
nothing until it looks a picture up.
"""

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.files.atomic import replacing
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.sources.columns import Names, TableBuilder
from bandwise.sources.named.catalog import HOME_VARIABLE, home
from bandwise.sources.source import Listing

_VERSION = 2
_UNUSED_S = 90 * 24 * 3600
_FACTS, _DIGEST = b"bandwise", b"sha256"
_NUMBERS = {
    "file": pa.int32(),
    "offset": pa.int64(),
    "size": pa.int32(),
    "position": pa.int32(),
    "label": pa.int32(),
    "val": pa.uint8(),
}
_COLUMNS = {"name": pa.large_binary(), **_NUMBERS}


class PictureIndex(NamedTuple):
    """The pictures of a source, sorted by name; 65 bytes each for a name of 32.

    Attributes:
        listing: names, labels, bytes in the archive, and which are reported; it shares memory with the file.
        files: int32 `(N,)`, number of the archive.
        offsets: int64 `(N,)`, byte in it.
        positions: int32 `(N,)`, place among those that share the bytes.
        facts: what else the source must know, ready for JSON.
    """

    listing: Listing
    files: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """A source whose pictures lie in archives. It holds names of files, no open files, so it is small to send.

    `files` are in the order of the numbers in `index`, the file of the `PictureIndex`.
    """

    root: Path
    name: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    index: Path
    fingerprint: dict[str, Any]
    channels: int = 3

    def entries(self) -> Listing:
        """List every picture, sorted by name."""
        return load_index(self.index).listing

    def find(self, path: bytes) -> tuple[Path, int, int, int]:
        """Return the archive that holds a picture, and its offset, size and position there."""
        index = load_index(self.index)
        row = index.listing.names.find(path)
        assert row is not None, path
        offset, size, position = (int(each[row]) for each in (index.offsets, index.listing.sizes, index.positions))
        return self.files[index.files[row]], offset, size, position


class IndexBuilder(TableBuilder):
    """Collects pictures, a class or an archive at a time; the columns are those of `PictureIndex`."""

    def __init__(self) -> None:
        super().__init__({key: kind.to_pandas_dtype() for key, kind in _NUMBERS.items()})

    def batch(self, facts: Mapping[str, Any]) -> pa.RecordBatch:
        """Return all pictures, sorted by name. Nothing can be added any more."""
        names, columns = self.sorted_by_name()
        if (duplicate := names.first_repeated()) is not None:
            raise UsageError(f"the picture {os.fsdecode(duplicate)!r} stands twice; remove one of the two")
        schema = pa.schema(list(_COLUMNS.items()), metadata={_FACTS: json.dumps(facts)})
        batch = pa.RecordBatch.from_arrays([names.array, *map(pa.array, columns.values())], schema=schema)
        return batch.replace_schema_metadata({**batch.schema.metadata, _DIGEST: _digest(batch)})


def indexed(key: Mapping[str, Any], files: Sequence[Path], build: Callable[[], pa.RecordBatch]) -> Path:
    """Return the file of an index; it is built where these archives have no sound one yet under this key.

    Name, size, time of change and inode tell whether an archive is still the same; the key is what the index depends on
    besides. Where `build` fails nothing is written. Indexes of earlier states of the same archives, and those that
    nobody has opened for 90 days, are then deleted.
    """
    names = [str(path.absolute()) for path in files]
    try:
        states = [(status.st_size, status.st_mtime_ns, status.st_ino) for status in map(Path.stat, files)]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be opened: {error.strerror}") from error
    series = _short_hash({"key": dict(key), "files": names})
    path = home() / "index" / f"{series}-{_short_hash({'version': _VERSION, 'states': states})}.arrow"
    if path.exists() and _is_sound(path):
        with contextlib.suppress(OSError):
            os.utime(path)
        return path
    write_index(path, build())
    _remove_outdated(path, series)
    return path


def write_index(path: Path, batch: pa.RecordBatch) -> None:
    """Write an index, complete or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as temporary,
            pa.OSFile(str(temporary), "wb") as stream,
            pa.ipc.new_file(stream, batch.schema) as writer,
        ):
            writer.write_batch(batch)
    except OSError as error:
        raise UsageError(
            f"the index cannot be written to {path.parent}: {error.strerror}; set {HOME_VARIABLE} to a folder that can"
        ) from error
    load_index.cache_clear()


@functools.lru_cache(maxsize=4)
def load_index(path: Path) -> PictureIndex:
    """Map the file of an index; its hash is not checked."""
    batch = _map(path)
    column = {key: batch.column(key).to_numpy() for key in _NUMBERS}
    listing = Listing(Names(batch.column("name")), column["label"], column["size"], column["val"].view(bool))
    facts = json.loads(batch.schema.metadata[_FACTS])
    return PictureIndex(listing, column["file"], column["offset"], column["position"], facts)


def _map(path: Path) -> pa.RecordBatch:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if dict(zip(reader.schema.names, reader.schema.types, strict=True)) != _COLUMNS:
            raise ValueError(f"{path} has other columns: {reader.schema.names}")
        # The one batch as it lies in the file: joining batches would copy it into the memory of every process.
        batch = reader.get_batch(0)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if _FACTS not in (batch.schema.metadata or {}) or any(column.null_count for column in batch.columns):
        raise ValueError(f"{path} is damaged: it has gaps")
    return batch


def _is_sound(path: Path) -> bool:
    try:
        batch = _map(path)
        return batch.schema.metadata.get(_DIGEST) == _digest(batch)
    except ValueError:
        return False


def _digest(batch: pa.RecordBatch) -> bytes:
    digest = hashlib.sha256(batch.schema.metadata[_FACTS])
    names = Names(batch.column("name"))
    digest.update(names.offsets().data)
    digest.update(names.joined())
    for key in _NUMBERS:
        digest.update(batch.column(key).to_numpy().data)
    return digest.hexdigest().encode()


def _remove_outdated(path: Path, series: str) -> None:
    for other in path.parent.glob("*.arrow"):
        # Another process may remove the same files.
        with contextlib.suppress(OSError):
            outdated = other.name.startswith(series) or time.time() - other.stat().st_mtime > _UNUSED_S
            if other != path and outdated:
                other.unlink()


def _short_hash(value: Any) -> str:
    return sha256_bytes(json_bytes(value))[:32]
