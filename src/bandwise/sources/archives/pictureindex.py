"""Where every picture of a set of archives lies: columns in one Arrow file that all processes map and share.

The file lies in `$BANDWISE_HOME/index`, under a name that changes with the archives and the options. It is
written once, complete or not at all; a worker process that opens it reads nothing until it looks a picture up.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.files.atomic import json_bytes, replacing, sha256_bytes
from bandwise.sources.columnbuilder import ColumnBuilder, NamesBuilder
from bandwise.sources.listing import Listing
from bandwise.sources.named.catalog import HOME_VARIABLE, home
from bandwise.sources.names import Names
from bandwise.sources.pieces import gather

_VERSION = 1
_FACTS = b"bandwise"
_COLUMNS = {
    "name": pa.large_binary(),
    "file": pa.int32(),
    "offset": pa.int64(),
    "size": pa.int32(),
    "position": pa.int32(),
    "label": pa.int32(),
    "val": pa.uint8(),
}


@dataclass(frozen=True, eq=False, slots=True)
class PictureIndex:
    """The pictures of a source, sorted by name; 65 bytes each for a name of 32.

    Attributes:
        names: N names, each once.
        files: int32 `(N,)`, number of the archive.
        offsets: int64 `(N,)`, byte in it.
        sizes: int32 `(N,)`, bytes there.
        positions: int32 `(N,)`, place among those that share the bytes.
        labels: int32 `(N,)`.
        val: bool `(N,)`.
        facts: what else the source must know, ready for JSON.
    """

    names: Names
    files: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    val: np.ndarray
    facts: dict[str, Any]

    def listing(self) -> Listing:
        """Return the images, sharing memory with the index."""
        return Listing(self.names, self.labels, self.sizes, self.val)


class IndexBuilder:
    """Collects pictures, a class or an archive at a time."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._names = NamesBuilder()
        self._columns = {key: ColumnBuilder(_COLUMNS[key].to_pandas_dtype()) for key in _COLUMNS if key != "name"}

    def add(self, names: Sequence[bytes], **columns: Any) -> None:
        """Add pictures; a column is one number for all of them or one a picture, and 0 where it is left out."""
        self._names.add(Names.of(names))
        for key, column in self._columns.items():
            kind = _COLUMNS[key].to_pandas_dtype()
            column.add(np.broadcast_to(np.asarray(columns.get(key, 0), kind), len(names)))

    def batch(self, facts: Mapping[str, Any]) -> pa.RecordBatch:
        """Return all pictures, sorted by name. Nothing can be added any more.

        Raises:
            UsageError: a name stands twice.
        """
        names, columns = self._names.names(), {}
        order = None if names.is_sorted() else names.order()
        if order is not None:
            names = names.take(order)
        for key in list(self._columns):
            values = self._columns.pop(key).column()
            columns[key] = values if order is None else gather(values, order)
        if (twice := names.first_repeated()) is not None:
            raise UsageError(f"the picture {os.fsdecode(twice)!r} stands twice; remove one of the two")
        schema = pa.schema(list(_COLUMNS.items()), metadata={_FACTS: json.dumps(facts)})
        return pa.RecordBatch.from_arrays([names.array, *map(pa.array, columns.values())], schema=schema)


def indexed(key: Mapping[str, Any], files: Sequence[Path], build: Callable[[], pa.RecordBatch]) -> Path:
    """Return the file of an index; it is built where these archives have none yet under this key.

    Args:
        key: what the index depends on besides the archives.
        files: the archives; name, size, time of change and inode of each tell whether it is still the same.
        build: makes the columns, with `IndexBuilder`.

    Raises:
        UsageError: the index cannot be written; or what `build` raises, and then nothing is written.
        NoSpaceError: the disk is full.
    """
    facts = [
        (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino) for path, status in _stats(files)
    ]
    name = sha256_bytes(json_bytes({"version": _VERSION, "key": dict(key), "files": facts}))[:32]
    path = home() / "index" / f"{name}.arrow"
    if path.exists() and _is_sound(path):
        return path
    batch = build()
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
    return path


@functools.lru_cache(maxsize=4)
def load_index(path: Path) -> PictureIndex:
    """Map the file of an index.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if dict(zip(reader.schema.names, reader.schema.types, strict=True)) != _COLUMNS:
            raise ValueError(f"{path} has other columns: {reader.schema.names}")
        # The one batch as it lies in the file: joining batches would copy it into the memory of every process.
        batch = reader.get_batch(0)
        values = [batch.column(key).to_numpy() for key in _COLUMNS if key != "name"]
        values[-1] = values[-1].view(bool)
        names = Names(batch.column("name"))
        return PictureIndex(names, *values, facts=json.loads((reader.schema.metadata or {})[_FACTS]))
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _is_sound(path: Path) -> bool:
    try:
        load_index(path)
        return True
    except ValueError:
        return False


def _stats(files: Sequence[Path]) -> list[tuple[Path, os.stat_result]]:
    try:
        return [(path, path.stat()) for path in files]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be opened: {error.strerror}") from error
