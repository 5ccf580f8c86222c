"""The row groups of one split, with the bands of one branch side by side, read into memory that the caller owns."""

import os
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bandwise.bands.kernels import compiled_kernels
from bandwise.errors import CorruptionError
from bandwise.store.layout import ROW_GROUP
from bandwise.store.reading.bandfiles import decode_records, open_band_file, read_row_group
from bandwise.store.reading.store import Store

_OPEN_FILES = 64
_ROWS_AT_ONCE = 8


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
        """Copy one row group to `out`, (sizes[group], side, side, len(bands) * channels).

        Raises:
            CorruptionError: a file is damaged, or its rows are not the samples of the manifest.
        """
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
        ids, labels, records = read_row_group(self._store, name, self._file(name), part)
        same = np.array_equal(ids, self._ids[start:stop]) and np.array_equal(labels, self._labels[start:stop])
        if not same:
            raise CorruptionError(
                f"{self._store.path / name} does not hold the samples that the manifest lists for it; "
                "run bandwise verify --repair"
            )
        return decode_records(self._store, name, records)

    def _put(self, pixels: NDArray[np.generic], out: NDArray[np.generic], first: int) -> None:
        if out.dtype == np.uint8 and (compiled := compiled_kernels("auto", "augment")) is not None:
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
