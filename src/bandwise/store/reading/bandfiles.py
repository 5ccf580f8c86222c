"""Reading band files: every page is checked against its CRC-32, every id and label with the sample list."""

import io
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from bandwise.bands.kernels import compiled_kernels
from bandwise.errors import CorruptionError
from bandwise.files.regular import open_regular
from bandwise.store.layout import ROW_GROUP, inside, schema
from bandwise.store.reading.store import Store, naming_damage

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_SLACK_BYTES = 256
_OPEN_FILES = 64
_ROWS_AT_ONCE = 8


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
    """Open one band file with page checksums on, after checking footer, schema and sizes against the manifest."""
    facts = store.file_facts(name)
    path = inside(store.path, name)
    with naming_damage(path):
        if footer_crc32(path) != facts.footer_crc32:
            raise ValueError("its footer is not the one that was written")
        file = pq.ParquetFile(path, page_checksum_verification=True)
        found = file.schema_arrow
        if not found.equals(schema(store.channels, store.config.storage), check_metadata=True):
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


def _decode_records(store: Store, name: str, records: pa.BinaryArray) -> np.ndarray:
    """Return the pixels of encoded records, (rows, side, side, channels); for zstd a view, without a copy."""
    with naming_damage(store.path / name):
        if records.null_count:
            raise ValueError("a record is empty")
        if store.config.codec == "webp":
            return np.stack([_decode_webp(store, record.as_buffer()) for record in records])
        size = store.header_bytes + int(np.prod(store.record_shape)) * store.dtype.itemsize
        offsets = np.frombuffer(records.buffers()[1], np.int32)[records.offset : records.offset + len(records) + 1]
        if (np.diff(offsets) != size).any():
            raise ValueError(f"a record does not have {size} bytes")
        content = np.frombuffer(records.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(len(records), size)
        pixels = content[:, store.header_bytes :]
        values = pixels.view(store.dtype) if store.dtype.itemsize > 1 else pixels
        return values.reshape(len(records), *store.record_shape)


def _decode_webp(store: Store, record: pa.Buffer) -> np.ndarray:
    with Image.open(io.BytesIO(record), formats=("WEBP",)) as picture:
        if picture.size != (store.side, store.side):
            raise ValueError(
                f"a record is {picture.size[0]} x {picture.size[1]} pixels, not {store.side} x {store.side}"
            )
        pixels = np.asarray(picture.convert("RGB"))
    return pixels[:, :, : store.channels]


class RowGroupReader:
    """Reads whole row groups and compares every id and label with the sample list.

    Attributes:
        sizes: rows in each row group, in stored order; the same for every band.
        record_shape: (side, side, len(bands) * channels).
        dtype: uint8, or float16 for a float16 store.
    """

    def __init__(self, store: Store, bands: Sequence[int], split: str) -> None:
        """Prepare; no file is opened yet."""
        self._store, self._files = store, [store.files(band, split) for band in bands]
        self._ids, self._labels = store.ids(split), store.labels(split)
        self._places: list[tuple[int, int]] = []
        self.sizes: list[int] = []
        for number, name in enumerate(self._files[0]):
            rows = store.file_facts(name).rows
            parts = range(-(-rows // ROW_GROUP))
            self._places += [(number, part) for part in parts]
            self.sizes += [min(ROW_GROUP, rows - part * ROW_GROUP) for part in parts]
        self._first = np.cumsum([0, *self.sizes])
        self.record_shape = store.side, store.side, len(bands) * store.channels
        self.dtype = store.dtype
        self._open: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._process = os.getpid()

    @property
    def rows(self) -> int:
        """Rows of the split."""
        return int(self._first[-1])

    def span(self, group: int) -> tuple[int, int]:
        """Return the first position of a row group, and the one after its last."""
        return int(self._first[group]), int(self._first[group + 1])

    def find(self, position: int) -> int:
        """Return the row group that holds a position."""
        return int(np.searchsorted(self._first, position, side="right")) - 1

    def read(self, group: int, out: NDArray[np.generic]) -> None:
        """Copy one row group to `out`, (sizes[group], side, side, len(bands) * channels)."""
        number, part = self._places[group]
        if len(self._files) == 1:
            np.copyto(out, self._pixels(group, self._files[0][number], part))
            return
        bands = [self._pixels(group, names[number], part) for names in self._files]
        # A few pictures at a time: what is put together stays in the cache, however many bands there are.
        for row in range(0, len(out), _ROWS_AT_ONCE):
            some = slice(row, row + _ROWS_AT_ONCE)
            for index, pixels in enumerate(bands):
                self._put(pixels[some], out[some], index * self._store.channels)

    def _pixels(self, group: int, name: str, part: int) -> NDArray[np.generic]:
        start, stop = self.span(group)
        file = self._file(name)
        with naming_damage(self._store.path / name):
            table = file.read_row_group(part, use_threads=False).combine_chunks()
            records = table["image"].chunk(0).field("bytes")
            ids, labels = table["id"].to_numpy(), table["label"].to_numpy()
        if not (np.array_equal(ids, self._ids[start:stop]) and np.array_equal(labels, self._labels[start:stop])):
            raise CorruptionError(
                f"{self._store.path / name} does not hold the samples that the manifest lists for it; "
                "run bandwise verify --repair"
            )
        return _decode_records(self._store, name, records)

    def _put(self, pixels: NDArray[np.generic], out: NDArray[np.generic], first: int) -> None:
        if out.dtype == np.uint8 and (compiled := compiled_kernels()) is not None:
            compiled.put_channels(pixels, out, first)
            return
        # One colour at a time: numpy copies runs of three bytes eight times as slowly.
        for colour in range(pixels.shape[3]):
            np.copyto(out[..., first + colour], pixels[..., colour])

    def _file(self, name: str) -> pq.ParquetFile:
        # A worker process must not share the place in a file with its parent.
        if self._process != os.getpid():
            self._open, self._process = OrderedDict(), os.getpid()
        file = self._open.pop(name, None)
        if file is None:
            while len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = open_band_file(self._store, name)
        self._open[name] = file
        return file

    def __getstate__(self) -> dict[str, object]:
        """Leave the open files behind: a process that receives the reader opens its own."""
        return {**self.__dict__, "_open": OrderedDict()}
