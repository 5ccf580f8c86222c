"""Writes one band file: Parquet in row groups of 256 records, hashed on its way to the disk."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.store.layout import schema
from bandwise.store.manifest import BandFileFacts
from bandwise.store.reading.bandfiles import footer_crc32

_PAGE_BYTES = 1 << 20
_ZSTD_LEVEL = 1


class BandFileWriter:
    """A Parquet file under construction; its options are part of its bytes, and `docs/format.md` states them."""

    def __init__(self, path: Path, *, codec: str, storage: str) -> None:
        """Create the file at `path`, which must not exist."""
        self._path = path
        self._sink = _HashingSink(path)
        self._schema = schema(storage)
        self._rows = 0
        try:
            self._writer = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression="zstd" if codec == "zstd" else "none",
                compression_level=_ZSTD_LEVEL if codec == "zstd" else None,
                data_page_size=_PAGE_BYTES,
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            )
        except BaseException:
            self._sink.close()
            raise

    def add(self, ids: np.ndarray, labels: np.ndarray, records: pa.BinaryArray) -> None:
        """Append one row group."""
        image = self._schema.field("image").type
        pictures = pa.StructArray.from_arrays([records, pa.nulls(len(ids), pa.string())], fields=list(image))
        self._writer.write_table(pa.Table.from_arrays([pa.array(ids), pa.array(labels), pictures], schema=self._schema))
        self._rows += len(ids)

    def close(self) -> BandFileFacts:
        """Write the footer, close the file and return what is known of it."""
        self._writer.close()
        self._sink.close()
        return BandFileFacts(self._sink.bytes, self._sink.sha256(), footer_crc32(self._path), self._rows)

    def abandon(self) -> None:
        """Close the file, if it is open, without a footer; whatever pyarrow still holds back is not written."""
        if self._sink.closed:
            return
        self._sink.discarding = True
        with contextlib.suppress(pa.ArrowException, OSError):
            self._writer.close()
        self._sink.close()


class _HashingSink:
    """What pyarrow needs of a file to write to, with a running SHA-256."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115
        self._hash = hashlib.sha256()
        self.discarding = False
        self.bytes = 0

    def write(self, content: Any) -> int:
        view = memoryview(content)
        if not self.discarding:
            left = view
            while left:
                left = left[self._file.write(left) :]
            self._hash.update(view)
            self.bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Nothing is held back: the file has no buffer of its own."""

    def close(self) -> None:
        self._file.close()
        self.closed = True

    def sha256(self) -> str:
        return self._hash.hexdigest()
