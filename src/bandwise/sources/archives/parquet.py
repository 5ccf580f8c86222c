"""Parquet shards as the Hugging Face hub holds them: columns `image` (bytes and path) and `label`."""

import errno
import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bandwise.errors import IncompatibleError, UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import MAX_PICTURE_BYTES
from bandwise.sources.archives.index import ArchiveSource, indexed, load_index
from bandwise.sources.archives.parquetpages import NotPlain, plain_values
from bandwise.sources.archives.shards import ShardContent, Shards, find_shards, index_shards
from bandwise.sources.folder import Reported
from bandwise.sources.reading import Region, open_archive, read_file, read_retrying

_COLUMN = "image.bytes"
_WHOLE_GROUP = 0


class ParquetSource(ArchiveSource):
    """Pictures in Parquet shards; row 42 of the first file is called `train-00000-of-00294/0000042`.

    A picture in a column that is neither compressed nor encoded is read alone; otherwise its whole row group is read.
    In the index, a size of 0 means that the offset is the number of a row group, and the position a row in it.
    """

    __slots__ = ()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; empty where the shard has none."""
        file, offset, size, position = self.find(path)
        if size == _WHOLE_GROUP:
            return _group(file, offset)[position].as_py() or b""
        content = read_file(os.fsencode(file), offset=offset - 4, count=4 + size)
        if int.from_bytes(content[:4], "little") != size:
            raise IncompatibleError(f"{file} has changed since it was indexed; start again")
        return content[4:]


def open_parquet(root: Path, *, reported: Reported = "auto") -> ParquetSource:
    """Open a folder of `train-*.parquet` and `validation-*.parquet` (or `test-*.parquet`), or its subfolder `data`."""
    shards = find_shards(root, ".parquet", reported)
    index = indexed({"kind": "parquet", "train": len(shards.train)}, shards.files, lambda: _build(shards))
    classes, fingerprint = load_index(index).facts["classes"], shards.fingerprint("parquet")
    return ParquetSource(shards.root, shards.root.name, shards.files, tuple(classes), index, fingerprint)


def _build(shards: Shards) -> pa.RecordBatch:
    first = shards.files[0]
    with _open(first) as table:
        class_names = _label_names(first, table)
    grouped = 0

    def list_shard(path: Path) -> ShardContent:
        nonlocal grouped
        with _open(path) as table:
            if _label_names(path, table) != class_names:
                raise UsageError(f"{path} names other classes than {first.name}: the shards do not belong together")
            labels, places = _labels(path, table), _places(path, table)
        grouped += int(np.count_nonzero(places["size"] == _WHOLE_GROUP))
        return ShardContent([b"%s/%07d" % (os.fsencode(path.stem), row) for row in range(len(labels))], labels, places)

    batch = index_shards(shards, class_names, list_shard)
    if grouped:
        say(
            f"note: {grouped:,} pictures of {shards.root} cannot be read one by one: each costs its whole row group; "
            "shards without compression and dictionary are faster"
        )
    return batch


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise UsageError(f"{path} is no regular file")
    try:
        table = read_retrying(lambda: pq.ParquetFile(path))
    except pa.ArrowException as error:
        raise UsageError(f"{path} is cut off or no Parquet file: {error}") from error
    paths = [table.schema.column(number).path for number in range(len(table.schema))]
    if _COLUMN not in paths or "label" not in paths:
        table.close()
        raise UsageError(
            f"{path} has the columns {', '.join(paths)}; expected image (with bytes and path) and label, as `datasets` "
            "writes them"
        )
    return table


def _label_names(path: Path, table: pq.ParquetFile) -> list[str] | None:
    """Return the class names of a ClassLabel that the `huggingface` metadata describe."""
    try:
        described = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = described.get("info", {}).get("features", {}).get("label", {}).get("names")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: its huggingface metadata are damaged: {error}") from error
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UsageError(f"{path}: its huggingface metadata name classes that are no text")
    return names


def _labels(path: Path, table: pq.ParquetFile) -> list[int | str]:
    try:
        column = table.read(columns=["label"], use_threads=False)["label"]
    except (pa.ArrowException, OSError) as error:
        _require_damage(error)
        raise UsageError(f"{path} is damaged: {error}") from error
    kind = column.type
    if column.null_count or not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ):
        raise UsageError(
            f"{path}: labels are of type {kind}, {column.null_count} are missing; numbers or words are needed"
        )
    return column.to_pylist()


def _places(path: Path, table: pq.ParquetFile) -> dict[str, np.ndarray]:
    """Return where every picture of a shard lies, as columns of the index."""
    number = next(number for number in range(len(table.schema)) if table.schema.column(number).path == _COLUMN)
    parts = [np.zeros((3, 0), np.int64)]
    with open_archive(path) as region:
        for group in range(table.num_row_groups):
            facts = table.metadata.row_group(group)
            rows = facts.num_rows
            try:
                offsets, sizes = _single_places(region, facts.column(number), rows, table.schema.column(number))
                parts.append(np.stack([offsets, sizes, np.zeros(rows, np.int64)]))
            except NotPlain:
                parts.append(np.stack([np.full(rows, group), np.full(rows, _WHOLE_GROUP), np.arange(rows)]))
    return dict(zip(("offset", "size", "position"), np.concatenate(parts, axis=1), strict=True))


def _single_places(region: Region, chunk: Any, rows: int, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return where each picture of a row group begins, and its size; `NotPlain` where it cannot be read alone."""
    if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page or column.max_repetition_level:
        raise NotPlain
    start = chunk.data_page_offset
    found = plain_values(region, start, start + chunk.total_compressed_size, rows, column.max_definition_level)
    # An empty value would mean "read the group", and one too large to keep a size of is no picture.
    if found[1].min(initial=1) < 1 or found[1].max(initial=0) > MAX_PICTURE_BYTES:
        raise NotPlain
    return found


@functools.lru_cache(maxsize=1)
def _group(file: Path, group: int) -> pa.ChunkedArray:
    """Return the pictures of one row group; the last one is kept, for those that are read in order."""
    try:
        read = read_retrying(lambda: pq.ParquetFile(file).read_row_group(group, columns=[_COLUMN], use_threads=False))
        return pc.struct_field(read["image"], "bytes")  # type: ignore[reportAttributeAccessIssue]
    except (pa.ArrowException, OSError, KeyError) as error:
        _require_damage(error)
        raise IncompatibleError(
            f"{file} has changed since it was indexed, or is damaged: {error}; start again"
        ) from error


def _require_damage(error: Exception) -> None:
    """Raise again what is a fault of the storage: only those of its errors have a number, Arrow's own have none."""
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
        raise error
