"""Parquet shards as the Hugging Face hub holds them: a column of pictures (bytes and path) and one of labels."""

import errno
import functools
import json
import os
from collections.abc import Callable, Sequence
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
from bandwise.sources.archives.shards import ShardContent, Shards, find_shards, index_shards, shard_name
from bandwise.sources.naming import Reported
from bandwise.sources.reading import Region, open_archive, read_file, read_retrying

_IMAGES, _LABELS = ("image", "img"), ("label", "labels")
_KINDS = {"image": "bytes, or a structure with bytes", "label": "numbers or text"}
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
            image = load_index(self.index).facts["image"]
            return _group(file, offset, image)[position].as_py() or b""
        content = read_file(os.fsencode(file), offset=offset - 4, count=4 + size)
        if int.from_bytes(content[:4], "little") != size:
            raise IncompatibleError(f"{file} has changed since it was indexed; start again")
        return content[4:]


def open_parquet(
    root: Path, *, reported: Reported = "auto", image_column: str = "", label_column: str = ""
) -> ParquetSource:
    """Open a folder of `train-*.parquet` and `validation-*.parquet` (or `test-*.parquet`), or its subfolder `data`.

    A column that is not named is found: the one of a usual name, or the only one that may be it.
    """
    shards = find_shards(root, ".parquet", reported)
    key = {"kind": "parquet", "train": len(shards.train), "image": image_column, "label": label_column}
    index = indexed(key, shards.files, lambda: _build(shards, image_column, label_column))
    classes, fingerprint = load_index(index).facts["classes"], shards.fingerprint("parquet")
    return ParquetSource(shards.root, shards.root.name, shards.files, tuple(classes), index, fingerprint)


def _build(shards: Shards, image_column: str, label_column: str) -> pa.RecordBatch:
    first = shards.files[0]
    with _open(first) as table:
        image = _column(first, table, "image", image_column, _IMAGES, _is_image)
        label = _column(first, table, "label", label_column, _LABELS, _is_label)
        class_names = _label_names(first, table, label)

    def list_shard(path: Path) -> ShardContent:
        with _open(path) as table:
            for what, name, fits in (("image", image, _is_image), ("label", label, _is_label)):
                _column(path, table, what, name, (), fits)
            if _label_names(path, table, label) != class_names:
                raise UsageError(f"{path} names other classes than {first.name}: the shards do not belong together")
            labels, places = _labels(path, table, label), _places(path, table, image)
        shard = shard_name(path)
        return ShardContent([b"%s/%07d" % (shard, row) for row in range(len(labels))], labels, places)

    batch = index_shards(shards, class_names, list_shard, image=image)
    if grouped := int(np.count_nonzero(batch.column("size").to_numpy() == _WHOLE_GROUP)):
        say(
            f"note: {grouped:,} pictures of {shards.root} cannot be read one by one: each costs its whole row group; "
            "shards without compression and dictionary are faster"
        )
    return batch


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise UsageError(f"{path} is no regular file")
    try:
        return read_retrying(lambda: pq.ParquetFile(path))
    except pa.ArrowException as error:
        raise UsageError(f"{path} is cut off or no Parquet file: {error}") from error


def _is_image(kind: pa.DataType) -> bool:
    """Say whether a column holds files: their bytes, or a structure with a field of bytes, as `datasets` writes it."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_image(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_label(kind: pa.DataType) -> bool:
    of_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    of_numbers = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
    return of_text or of_numbers or (pa.types.is_dictionary(kind) and _is_label(kind.value_type))


def _column(
    path: Path, table: pq.ParquetFile, what: str, given: str, usual: Sequence[str], fits: Callable[[pa.DataType], bool]
) -> str:
    """Return the name of a column: the given one, the first of a usual name, or the only one of its kind."""
    fitting = [field.name for field in table.schema_arrow if fits(field.type)]
    if given in fitting:
        return given
    found = [name for name in fitting if name in usual][:1] or fitting
    if given or len(found) != 1:
        columns = ", ".join(f"{field.name} ({field.type})" for field in table.schema_arrow)
        wanted = f"none called {given!r} that may be it" if given else f"{len(found) or 'none'} that may be it"
        raise UsageError(
            f"{path} has the columns {columns}; {wanted}: name the one that holds the {what}, and is of "
            f"{_KINDS[what]}, with --{what}-column"
        )
    return found[0]


def _label_names(path: Path, table: pq.ParquetFile, label: str) -> list[str] | None:
    """Return the class names of a ClassLabel that the `huggingface` metadata describe."""
    try:
        described = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = described.get("info", {}).get("features", {}).get(label, {}).get("names")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: its huggingface metadata are damaged: {error}") from error
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UsageError(f"{path}: its huggingface metadata name classes that are no text")
    return names


def _labels(path: Path, table: pq.ParquetFile, label: str) -> list[int | str]:
    try:
        column = table.read(columns=[label], use_threads=False)[label]
    except (pa.ArrowException, OSError) as error:
        _require_damage(error)
        raise UsageError(f"{path} is damaged: {error}") from error
    if column.null_count:
        raise UsageError(f"{path}: labels are of type {column.type}, {column.null_count} are missing; each is needed")
    labels = column.to_pylist()
    if pa.types.is_boolean(column.type):
        return [str(value) for value in labels]
    if pa.types.is_floating(column.type):
        if parts := [value for value in labels if not value.is_integer()]:
            raise UsageError(f"{path} has the label {parts[0]}; whole numbers or words are needed")
        return [int(value) for value in labels]
    return labels


def _places(path: Path, table: pq.ParquetFile, image: str) -> dict[str, np.ndarray]:
    """Return where every picture of a shard lies, as columns of the index."""
    paths = [table.schema.column(number).path for number in range(len(table.schema))]
    number = paths.index(f"{image}.bytes" if f"{image}.bytes" in paths else image)
    parts = [np.zeros((3, 0), np.int64)]
    with open_archive(path) as region:
        for group in range(table.num_row_groups):
            facts = table.metadata.row_group(group)
            rows, statistics = facts.num_rows, facts.column(number).statistics
            if rows and statistics is not None and statistics.null_count == rows and f"{image}.path" in paths:
                raise UsageError(
                    f"{path} holds paths of pictures and not the pictures; write it again with their bytes: load it "
                    "by `datasets` where the files are, and push it or save it with embed_external_files=True"
                )
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
def _group(file: Path, group: int, image: str) -> pa.ChunkedArray:
    """Return the pictures of one row group; the last one is kept, for those that are read in order."""
    try:
        read = read_retrying(lambda: pq.ParquetFile(file).read_row_group(group, columns=[image], use_threads=False))
        column = read[image]
        return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column  # type: ignore[reportAttributeAccessIssue]
    except (pa.ArrowException, OSError, KeyError) as error:
        _require_damage(error)
        raise IncompatibleError(
            f"{file} has changed since it was indexed, or is damaged: {error}; start again"
        ) from error


def _require_damage(error: Exception) -> None:
    """Raise again what is a fault of the storage: only those of its errors have a number, Arrow's own have none."""
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
        raise error
