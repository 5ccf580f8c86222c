"""Reading band files: every page is checked against its CRC-32, and damage is reported with the name of the file."""

import io
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bandwise.errors import CorruptionError
from bandwise.files.regular import open_regular
from bandwise.store.layout import ROW_GROUP, inside, schema
from bandwise.store.reading.store import Store, naming_damage

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_SLACK_BYTES = 256


def footer_crc32(path: Path) -> int:
    """Return the CRC-32 of a Parquet file's footer with its length and magic, which page checksums do not cover."""
    with open_regular(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read()
        length = int.from_bytes(tail[:4], "little") + _TAIL_BYTES
        if len(tail) < _TAIL_BYTES or tail[4:] != _MAGIC or length > size:
            raise CorruptionError(f"{path} has no Parquet footer: it was cut or altered; run bandwise verify --repair")
        stream.seek(size - length)
        return zlib.crc32(stream.read())


def open_band_file(store: Store, name: str) -> pq.ParquetFile:
    """Open one band file with page checksums on, after checking footer, schema and sizes against the manifest.

    Raises:
        CorruptionError: the file is missing, altered, or not the one the manifest describes.
    """
    facts = store.file_facts(name)
    path = inside(store.path, name)
    with naming_damage(path):
        if footer_crc32(path) != facts.footer_crc32:
            raise ValueError("its footer is not the one that was written")
        file = pq.ParquetFile(path, page_checksum_verification=True)
        found = file.schema_arrow
        if not found.equals(schema(store.config.storage), check_metadata=True):
            raise ValueError(f"its columns are not those of a store: {found.names}")
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        if sum(group.num_rows for group in groups) != facts.rows:
            raise ValueError(f"it does not have {facts.rows} rows")
        largest = ROW_GROUP * (
            2 * store.header_bytes + 2 * store.dtype.itemsize * int(np.prod(store.record_shape)) + _SLACK_BYTES
        )
        if any(group.num_rows > ROW_GROUP or group.total_byte_size > largest for group in groups):
            raise ValueError("a row group is larger than a store writes")
    return file


def read_row_group(
    store: Store, name: str, file: pq.ParquetFile, group: int
) -> tuple[np.ndarray, np.ndarray, pa.BinaryArray]:
    """Return ids int64 (rows,), labels int32 (rows,) and the encoded records of one row group."""
    with naming_damage(store.path / name):
        table = file.read_row_group(group, use_threads=False).combine_chunks()
        records = table["image"].chunk(0).field("bytes")
        return table["id"].to_numpy(), table["label"].to_numpy(), records


def decode_records(store: Store, name: str, records: pa.BinaryArray) -> np.ndarray:
    """Return the pixels of encoded records, (rows, side, side, channels); for zstd a view, without a copy."""
    with naming_damage(store.path / name):
        if records.null_count:
            raise ValueError("a record is empty")
        if store.config.codec == "webp":
            return np.stack([_decode_webp(store, record.as_buffer()) for record in records])
        pixels = int(np.prod(store.record_shape)) * store.dtype.itemsize
        size = store.header_bytes + pixels
        offsets = np.frombuffer(records.buffers()[1], np.int32)[records.offset : records.offset + len(records) + 1]
        if (np.diff(offsets) != size).any():
            raise ValueError(f"a record does not have {size} bytes")
        content = np.frombuffer(records.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(len(records), size)
        values = (
            content[:, store.header_bytes :].view(store.dtype)
            if store.dtype.itemsize > 1
            else content[:, store.header_bytes :]
        )
        return values.reshape(len(records), *store.record_shape)


def _decode_webp(store: Store, record: pa.Buffer) -> np.ndarray:
    with Image.open(io.BytesIO(record), formats=("WEBP",)) as picture:
        if picture.size != (store.side, store.side):
            raise ValueError(
                f"a record is {picture.size[0]} x {picture.size[1]} pixels, not {store.side} x {store.side}"
            )
        pixels = np.asarray(picture.convert("RGB"))
    return pixels[:, :, : store.channels]
