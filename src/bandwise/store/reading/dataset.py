"""Stored bands as a map-style data set, for those who bring their own `torch.utils.data.DataLoader`."""

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler, get_worker_info

from bandwise.errors import UsageError
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import Cache, read_all, resolve_cache
from bandwise.store.reading.order import WINDOW, shuffled_windows
from bandwise.store.reading.store import Store

_ITEMS_BEFORE_ADVICE = 64


class BandDataset(Dataset[tuple[Tensor, int, int]]):
    """Item i is the i-th stored sample: (image (nb * C, side, side), label, id).

    The image is uint8, or float16 for a float16 store. Without the records in memory, the row groups decoded last are
    kept: `WindowSampler` gives the order that finds its records among them. Works in worker processes; each of them
    decodes for itself.
    """

    def __init__(
        self,
        store: Store,
        bands: Sequence[int],
        split: str = "train",
        *,
        cache: Cache = "auto",
        window: int = WINDOW,
    ) -> None:
        """Open a split.

        Args:
            store: an open store.
            bands: one band or several, in the order wanted for the channels.
            split: train, holdout or val.
            cache: as in `BatchStream`; `ram` decodes everything now, and worker processes that are forked share it.
            window: how many decoded row groups are kept, at least 1.

        Raises:
            UsageError: an argument is not as described, or the store has no such band.
            CorruptionError: with the records in memory, one of them is damaged.
        """
        if window < 1:
            raise UsageError(f"window is {window}; it must be at least 1")
        self._reader = RowGroupReader(store, bands, split)
        self.window = window
        self._ids, self._labels = store.ids(split), store.labels(split)
        self._all = read_all(self._reader) if resolve_cache(cache, self._reader) else None
        self._kept: OrderedDict[int, NDArray[np.generic]] = OrderedDict()
        self._items = self._decoded = 0
        self._advised = False

    @property
    def row_groups(self) -> list[int]:
        """Rows in each row group, in stored order."""
        return self._reader.sizes

    def __len__(self) -> int:
        """The number of stored samples."""
        return self._reader.rows

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """Return one sample in memory of its own; a negative index counts from the end."""
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"index is {index}; the split has {len(self)} samples")
        record = self._all[position] if self._all is not None else torch.from_numpy(self._record(position))
        image = record.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
        return image, int(self._labels[position]), int(self._ids[position])

    def _record(self, position: int) -> NDArray[np.generic]:
        group = self._reader.find(position)
        self._items += 1
        if group not in self._kept:
            while len(self._kept) >= self.window:
                self._kept.popitem(last=False)
            records = np.empty((self._reader.sizes[group], *self._reader.record_shape), self._reader.dtype)
            self._reader.read(group, records)
            self._kept[group] = records
            self._decoded += 1
            self._advise()
        return self._kept[group][position - self._reader.span(group)[0]]

    def _advise(self) -> None:
        slow = self._items >= _ITEMS_BEFORE_ADVICE and self._decoded * 2 > self._items
        worker = get_worker_info()
        if slow and not self._advised and (worker is None or worker.id == 0):
            self._advised = True
            warnings.warn(
                "almost every sample needs another row group, which is slow: "
                "pass WindowSampler(dataset) as the sampler, or open the data set with cache='ram'",
                stacklevel=4,
            )

    def __getstate__(self) -> dict[str, object]:
        """Leave the decoded row groups behind: a worker process decodes its own."""
        return {**self.__dict__, "_kept": OrderedDict()}


class WindowSampler(Sampler[int]):
    """Shuffles as `BatchStream` does: row groups, then the rows of a window of them."""

    def __init__(self, dataset: BandDataset, *, seed: int = 0) -> None:
        """Sample `dataset` with its own window; call `set_epoch` before every epoch."""
        self._dataset, self._seed, self._epoch = dataset, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """The number of samples of an epoch."""
        return len(self._dataset)

    def __iter__(self) -> Iterator[int]:
        """Return the positions of the epoch in order; those of one window are in memory."""
        groups, window = self._dataset.row_groups, self._dataset.window
        windows = shuffled_windows(groups, seed=self._seed, epoch=self._epoch, window=window)
        return (position for each in windows for position in each.positions.tolist())
