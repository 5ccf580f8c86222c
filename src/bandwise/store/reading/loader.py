"""Batches of stored bands, in an order that depends on the seed and the epoch alone.

Where the records of a branch fit in memory they are decoded once; else row groups stream through one window. Either way
no Python runs for each record (except to decode WebP), and the batches are the same. While one window is given out, a
thread reads the next one.
"""

import itertools
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.errors import UsageError
from bandwise.machine import available_bytes
from bandwise.progress import Advance
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.order import COPY_SHIFT, WINDOW, Window, shuffled_windows, stored_windows
from bandwise.store.reading.store import Store

Cache = Literal["auto", "ram", "none"]

_SHARE_OF_MEMORY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some samples: ids and labels int64 (B,), images (B, nb * C, side, side), band-major, channels_last in memory.

    The id of an image that comes again in an epoch has the number of the copy above it, see `COPY_SHIFT`.

    Images are uint8, or float16 for a float16 store; the next batch overwrites them: clone them to keep them.
    """

    ids: Tensor
    images: Tensor
    labels: Tensor


class BatchStream:
    """Reads the bands of one branch, one epoch after another.

    Memory: the whole split with `cache="ram"`; otherwise two windows of at most `window` row groups of 256 records, one
    that is given out and one that is being read.
    """

    def __init__(
        self,
        store: Store,
        bands: Sequence[int],
        split: str,
        batch_size: int,
        *,
        cache: Cache = "auto",
        window: int = WINDOW,
        readers: int = 1,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        """Prepare a split, with the bands in the order wanted for the channels; `readers` threads read a window.

        `weights` say how often each row comes in an epoch, as in `shuffled_windows`.

        `ram` decodes the split once, at the first batch; `none` streams; `auto` takes `ram` where the records fit in a
        quarter of the memory that is available.
        """
        if batch_size < 1 or window < 1:
            raise UsageError(f"batch_size is {batch_size} and window {window}; both must be at least 1")
        self.reader = RowGroupReader(store, bands, split)
        self.batch_size, self.window, self._weights = batch_size, window, weights
        self.resident = resolve_cache(cache, self.reader)
        self._ids = torch.from_numpy(store.ids(split).astype(np.int64, copy=False))
        self._labels = torch.from_numpy(store.labels(split).astype(np.int32, copy=False))
        self._records: Tensor | None = None
        # Kept from one epoch to the next: the pages of fresh memory cost as much as copying records into it.
        self._buffers: list[Tensor] = []
        # Each with open files of its own, which iterations share.
        each = [self.reader, *(copy(self.reader) for _ in range(readers - 1))]
        self._readers = [(reader, threading.Lock()) for reader in each]

    @property
    def rows(self) -> int:
        """Samples of the split."""
        return self.reader.rows

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch; 0 where the split is smaller than one."""
        return self.rows // self.batch_size

    def batches(
        self, epoch: int | None = None, *, seed: int = 0, start: int = 0, drop_last: bool = False
    ) -> Generator[Batch, None, None]:
        """Yield the batches of one epoch of `seed`, or without an epoch those of the stored order, for evaluation.

        Every row occurs once in an epoch, unless the rows have weights. The first `start` batches are left out; those
        after are the same as without it. `drop_last` leaves out a last batch that is not full.
        """
        record, size = self.reader.record_shape, self.batch_size
        buffer = empty_records(self.reader, size)
        batch, images = buffer.view(size, -1), buffer.permute(0, 3, 1, 2)
        positions, copies = torch.empty(size, dtype=torch.int64), torch.empty(size, dtype=torch.int64)
        skip, filled = start * size, 0
        for window, source in self._windows(epoch, seed, start * size):
            assert source.shape[1:] == record, (source.shape, record)
            rows = torch.from_numpy(window.positions if self.resident else window.rows)
            taken, skip = min(skip, len(rows)), max(0, skip - len(rows))
            while taken < len(rows):
                count = min(size - filled, len(rows) - taken)
                torch.index_select(
                    source.view(len(source), -1), 0, rows[taken : taken + count], out=batch[filled : filled + count]
                )
                positions[filled : filled + count] = torch.from_numpy(window.positions[taken : taken + count])
                copies[filled : filled + count] = torch.from_numpy(window.copies[taken : taken + count])
                taken, filled = taken + count, filled + count
                if filled == size:
                    yield Batch(self._keys(positions, copies), images, self._labels[positions].long())
                    filled = 0
        if filled and not drop_last:
            positions, copies = positions[:filled], copies[:filled]
            yield Batch(self._keys(positions, copies), images[:filled], self._labels[positions].long())

    def _keys(self, positions: Tensor, copies: Tensor) -> Tensor:
        return self._ids[positions] + (copies << COPY_SHIFT)

    def _windows(self, epoch: int | None, seed: int, skip: int) -> Iterator[tuple[Window, Tensor]]:
        sizes = self.reader.sizes
        windows = (
            stored_windows(sizes)
            if epoch is None
            else shuffled_windows(sizes, seed=seed, epoch=epoch, window=self.window, weights=self._weights)
        )
        if self.resident:
            if self._records is None:
                self._records = read_all(self.reader)
            for window in windows:
                yield window, self._records
            return
        held = 1 if epoch is None else self.window
        yield from self._read_ahead(windows, skip, sum(sorted(sizes)[-held:]))

    def _read_ahead(self, windows: Iterator[Window], skip: int, most: int) -> Iterator[tuple[Window, Tensor]]:
        """Yield windows in order, each read while the one before it is in use; an error comes with its window."""
        taken, self._buffers = self._buffers, []
        if not taken or len(taken[0]) < most:
            taken = [empty_records(self.reader, most), empty_records(self.reader, most)]
        buffers = itertools.cycle(taken)
        before: tuple[Window, Tensor, list[Future[None]]] | None = None
        pool = ThreadPoolExecutor(len(self._readers), "bandwise-read-ahead")
        try:
            for window in itertools.chain(windows, [None]):
                now = None
                if window is not None:
                    groups = window.groups if skip < len(window.rows) else window.groups[:0]
                    skip -= len(window.rows)
                    buffer = next(buffers)
                    now = window, buffer, [pool.submit(self._fill, *part) for part in self._parts(groups, buffer)]
                if before is not None:
                    for part in before[2]:
                        part.result()
                    yield before[:2]
                before = now
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._buffers = taken

    def _parts(self, groups: NDArray[np.int64], buffer: Tensor) -> Iterator[tuple[int, list[int], Tensor]]:
        """Share row groups out among the readers: the number of the reader, its groups, and where they go."""
        place = 0
        for number, part in enumerate(np.array_split(groups, len(self._readers))):
            yield number, part.tolist(), buffer[place:]
            place += sum(self.reader.sizes[group] for group in part.tolist())

    def _fill(self, number: int, groups: list[int], out: Tensor) -> None:
        reader, reading = self._readers[number]
        with reading:
            fill(reader, groups, out)


def resolve_cache(cache: Cache, reader: RowGroupReader) -> bool:
    """Return whether the records of a split shall stay in memory."""
    if cache not in ("auto", "ram", "none"):
        raise UsageError(f"cache is {cache!r}; it must be auto, ram or none")
    needed = reader.rows * int(np.prod(reader.record_shape)) * reader.dtype.itemsize
    return cache == "ram" or (cache == "auto" and needed * _SHARE_OF_MEMORY <= available_bytes())


def empty_records(reader: RowGroupReader, rows: int) -> Tensor:
    """Return memory for some records, (rows, side, side, nb * C), of the type in which they are stored."""
    dtype = torch.uint8 if reader.dtype == np.uint8 else torch.float16
    return torch.empty((rows, *reader.record_shape), dtype=dtype)


def fill(reader: RowGroupReader, groups: Sequence[int], out: Tensor) -> None:
    """Copy row groups one after another to the start of `out`."""
    place, content = 0, out.numpy()
    for group in groups:
        rows = reader.sizes[group]
        reader.read(group, content[place : place + rows])
        place += rows


def read_all(reader: RowGroupReader) -> Tensor:
    """Return all records of a split in stored order, (rows, side, side, nb * C)."""
    records = empty_records(reader, reader.rows)
    fill(reader, range(len(reader.sizes)), records)
    return records


def read_onto(device: torch.device, reader: RowGroupReader, advance: Advance) -> Tensor:
    """Return all records of a split in stored order on a device, as `read_all`; some row groups at a time pass here."""
    parts = [range(len(reader.sizes))[first : first + WINDOW] for first in range(0, len(reader.sizes), WINDOW)]
    rows = [sum(reader.sizes[group] for group in part) for part in parts]
    like = empty_records(reader, max(rows, default=0))
    passing = like.pin_memory() if device.type == "cuda" else like
    records, place = torch.empty((reader.rows, *reader.record_shape), dtype=like.dtype, device=device), 0
    for part, count in zip(parts, rows, strict=True):
        fill(reader, part, passing)
        records[place : place + count] = passing[:count]
        place += count
        advance(count)
    return records
