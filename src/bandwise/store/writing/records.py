"""Split pictures, gathered until they fill a row group, and the band files that row groups are written to."""

import contextlib
import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bandwise.bands.quantize import BandQuantizer, band_sums
from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.errors import UsageError
from bandwise.sources.decoding.badimage import BadImage
from bandwise.store.layout import ROW_GROUP, record_header, schema
from bandwise.store.manifest import BandFileFacts, Moments
from bandwise.store.reading.bandfiles import footer_crc32

_FLOAT16_STEPS = 256
_MAX_BLOCK_BYTES = (1 << 31) - 1
# For publishing and small disks: method 0 would encode 1.4 to 2 times as fast and take 4 to 14 % more bytes.
_WEBP_QUALITY = 20
_WEBP_METHOD = 1
# Measured on photographs (store.md of the design): bytes over raw bytes, mean of all bands, by stride, rounded up.
_ZSTD_SHARE = {1: 1.0, 2: 0.60, 3: 0.50, 4: 0.42, 5: 0.36, 6: 0.30}
_WEBP_SHARE = {1: 0.60, 2: 0.42, 3: 0.36, 4: 0.31, 5: 0.27, 6: 0.23}
_PAGE_BYTES = 1 << 20
_ZSTD_LEVEL = 1
_FLAT_KINDS = ("identity", "random")


class RecordBlock:
    """Up to 256 pictures as stored bands, with the running digests and statistics of a whole group.

    Every band has one block of memory for the records of a row group, their headers written once.
    """

    def __init__(self, config: SplitConfig, bands: tuple[int, ...], channels: int) -> None:
        """Prepare for pictures of `config.canvas` pixels a side."""
        self.bands = bands
        self.rows = 0
        self._config = config
        self._quantizer = BandQuantizer(SubbandTransform(config.stride, config.transform, config.transform_seed), bands)
        side = config.canvas // config.stride
        self._shape = (side, side, channels)
        self._header = record_header(side, channels, config.storage)
        self._dtype: np.dtype[Any] = np.dtype("<f2" if config.storage == "float16" else "u1")
        size = len(self._header) + side * side * channels * self._dtype.itemsize
        if size * ROW_GROUP > _MAX_BLOCK_BYTES:
            raise UsageError(
                f"a band of {side} x {side} pixels is too large to store: {ROW_GROUP} records exceed 2 GiB; "
                f"choose a smaller canvas than {config.canvas} or a larger stride than {config.stride}"
            )
        self._ids = np.empty(ROW_GROUP, np.int64)
        self._labels = np.empty(ROW_GROUP, np.int32)
        self._block = np.empty((len(bands), ROW_GROUP, size), np.uint8)
        self._block[:, :, : len(self._header)] = np.frombuffer(self._header, np.uint8)
        raw = self._block[:, :, len(self._header) :]
        self._pixels = raw.view(self._dtype).reshape(len(bands), ROW_GROUP, *self._shape)
        assert np.shares_memory(self._pixels, self._block), "the pixels must be a view into the records"
        # One picture is split, summed and hashed here, where it stays in the cache, and then copied to its records.
        self._picture = np.empty((len(bands), *self._shape), self._dtype)
        self._views = [band.data for band in self._picture]
        self._canvas_digest = hashlib.sha256()
        self._digests = [hashlib.sha256() for _ in bands]
        self._sums = np.zeros((2, len(bands), channels), np.int64)
        self._values = 0

    @property
    def full(self) -> bool:
        """Whether the row group is complete and must be taken before another picture is added."""
        return self.rows == ROW_GROUP

    def add(self, sample: int, label: int, canvas: np.ndarray) -> None:
        """Split one picture, uint8 (canvas, canvas, channels), and keep its bands; of a bad one nothing is kept."""
        stored = self._picture
        if self._config.storage == "float16":
            # Half precision holds every coefficient of bytes, at most 255 times the stride: the last guard of a store.
            stored[...] = self._quantizer.split_float16(canvas)
            if not np.isfinite(stored).all():
                raise BadImage("nonfinite", "its transform gives values that half precision cannot hold")
            steps = np.rint(stored.astype(np.float64) * _FLOAT16_STEPS).astype(np.int64)
            sums, squares = steps.sum(axis=(1, 2)), (steps * steps).sum(axis=(1, 2))
            values = steps.shape[1] * steps.shape[2]
        else:
            self._quantizer.split(canvas, out=stored)
            sums, squares, values = band_sums(stored)
        prefix = struct.pack("<qi", sample, label)
        self._canvas_digest.update(prefix)
        self._canvas_digest.update(np.ascontiguousarray(canvas).data)
        self._sums[0] += sums
        self._sums[1] += squares
        self._values += values
        for digest, pixels in zip(self._digests, self._views, strict=True):
            digest.update(prefix)
            digest.update(pixels)
        self._pixels[:, self.rows] = stored
        self._ids[self.rows], self._labels[self.rows] = sample, label
        self.rows += 1

    def take(self) -> tuple[np.ndarray, np.ndarray, list[pa.BinaryArray]]:
        """Empty the block: ids int64 (rows,), labels int32 (rows,) and one array of encoded records a band.

        The arrays share the block's memory: write them before the next `add`.
        """
        rows, self.rows = self.rows, 0
        encode = self._webp if self._config.codec == "webp" else self._raw
        return self._ids[:rows], self._labels[:rows], [encode(block[:rows]) for block in self._block]

    def canvas_digest(self) -> str:
        """Return the digest over all pictures added so far."""
        return self._canvas_digest.hexdigest()

    def digests(self) -> dict[int, str]:
        """Return the digest of each band over all pictures added so far."""
        return {band: digest.hexdigest() for band, digest in zip(self.bands, self._digests, strict=True)}

    def statistics(self) -> dict[int, Moments]:
        """Return the integer sums of each band over all pictures added so far.

        A float16 value enters the sums rounded to 1/256, so that they are integers too and the order cannot matter.
        """
        steps = _FLOAT16_STEPS if self._config.storage == "float16" else 1
        sums, squares = self._sums.tolist()
        return {
            band: Moments(self._values, tuple(sums[position]), tuple(squares[position]), steps)
            for position, band in enumerate(self.bands)
        }

    def _raw(self, block: np.ndarray) -> pa.BinaryArray:
        rows, size = block.shape
        offsets = np.arange(0, (rows + 1) * size, size, dtype=np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(block))]
        records = pa.Array.from_buffers(pa.binary(), rows, buffers)
        assert isinstance(records, pa.BinaryArray)
        return records

    def _webp(self, block: np.ndarray) -> pa.BinaryArray:
        records: list[bytes] = []
        for row in block[:, len(self._header) :]:
            pixels = row.reshape(self._shape)
            picture = Image.fromarray(pixels[:, :, 0] if self._shape[2] == 1 else pixels)
            encoded = io.BytesIO()
            picture.save(encoded, "WEBP", lossless=True, quality=_WEBP_QUALITY, method=_WEBP_METHOD, exact=True)
            records.append(encoded.getvalue())
        return pa.array(records, pa.binary())


class BandFileWriter:
    """A Parquet file under construction; its options are part of its bytes, and `docs/format.md` states them."""

    def __init__(self, path: Path, *, codec: str, storage: str, channels: int) -> None:
        """Create the file at `path`, which must not exist."""
        self._path = path
        self._sink = _HashingSink(path)
        self._schema = schema(channels, storage)
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
        return BandFileFacts(self._sink.bytes, self._sink.hash.hexdigest(), footer_crc32(self._path), self._rows)

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
        self.hash = hashlib.sha256()
        self.discarding = False
        self.bytes = 0

    def write(self, content: Any) -> int:
        view = memoryview(content)
        if not self.discarding:
            left = view
            while left:
                left = left[self._file.write(left) :]
            self.hash.update(view)
            self.bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Nothing is held back: the file has no buffer of its own."""

    def close(self) -> None:
        self._file.close()
        self.closed = True


def estimate_bytes(config: SplitConfig, bands: int, channels: int, images: int) -> int:
    """Return about how many bytes `bands` bands of `images` images take on disk.

    The shares hold for photographs and transforms that gather the energy; `identity` and `random` bands are all as
    large as small pictures. float16 values hardly compress.
    """
    pixels = images * bands * channels * (config.canvas // config.stride) ** 2
    if config.storage == "float16":
        return 2 * pixels
    shares = _WEBP_SHARE if config.codec == "webp" else _ZSTD_SHARE
    stride = 1 if config.transform in _FLAT_KINDS else min(config.stride, max(shares))
    return int(pixels * shares[stride])
