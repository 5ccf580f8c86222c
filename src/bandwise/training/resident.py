"""The stored bands of a branch on its device: order, gather and augmentation work there, a step copies nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.geometry import PlacedCuts
from bandwise.augment.mixing import Boxes, Mixing, blend, draw_mixing, soft_targets
from bandwise.augment.standardise import to_device
from bandwise.progress import progress
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import Batch, read_onto
from bandwise.store.reading.order import COPY_SHIFT, shuffled_windows
from bandwise.training.feed import Feed
from bandwise.training.identity import Branch


@dataclass(frozen=True, slots=True, eq=False)
class DrawnBatch(Batch):
    """A batch on the device, but for the ids, with all that was drawn for it."""

    cuts: PlacedCuts
    boxes: Boxes | None
    mixing: Mixing | None
    partner: Tensor | None
    """int64 (B,), that of `mixing` on the device."""


class ResidentFeed(Feed):
    """Stored bands as `BandFeed` gives them, in the same order with the same draws.

    Before an epoch its order and its draws are made on the host, as for a stream of batches, and copied at once.
    """

    def __init__(self, branch: Branch) -> None:
        super().__init__(branch, branch.config.augment, branch.store.side)
        self._reader = RowGroupReader(branch.store, branch.bands, "train")
        self._ids = branch.store.ids("train").astype(np.int64, copy=False)
        self._size = branch.config.training.batch_size
        self._on_device: tuple[Tensor, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return len(self._ids) // self._size

    def batches(self, epoch: int, *, start: int) -> Iterator[DrawnBatch]:
        size, device = self._size, self._branch.device
        used = slice(start * size, self.steps_per_epoch * size)
        windows = list(
            shuffled_windows(self._reader.sizes, seed=self._seeds["order"], epoch=epoch, weights=self.row_weights)
        )
        order = np.concatenate([each.positions for each in windows])[used]
        if not len(order):
            return
        records, labels = self._records_and_labels()
        keys = self._ids[order] + (np.concatenate([each.copies for each in windows])[used] << COPY_SHIFT)
        rows = to_device(torch.from_numpy(order), device)
        mixings = self._draw_mixings(keys, epoch)
        partners = (
            to_device(torch.from_numpy(np.concatenate([each.partner for each in mixings])), device) if mixings else None
        )
        flat = records.view(len(records), -1)
        buffer = torch.empty((size, flat.shape[1]), dtype=flat.dtype, device=device)
        images = buffer.view(size, *records.shape[1:]).permute(0, 3, 1, 2)
        for number, (cuts, boxes) in enumerate(self.augment.plan(keys, size, epoch, device)):
            here = slice(number * size, (number + 1) * size)
            torch.index_select(flat, 0, rows[here], out=buffer)
            yield DrawnBatch(
                ids=torch.from_numpy(keys[here]),
                images=images,
                labels=labels.index_select(0, rows[here]),
                cuts=cuts,
                boxes=boxes,
                mixing=mixings[number] if mixings else None,
                partner=None if partners is None else partners[here],
            )

    def stored(self, batch: Batch) -> Tensor:
        return batch.images

    def inputs(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        assert isinstance(batch, DrawnBatch)
        images = self.augment.apply(batch.images, batch.cuts, batch.boxes)
        if batch.mixing is None or batch.partner is None:
            return images, batch.labels
        smoothing = self._branch.config.training.smoothing
        targets = soft_targets(batch.labels, len(self._branch.store.classes), smoothing)
        return blend(images, targets, batch.mixing, batch.partner)

    def _records_and_labels(self) -> tuple[Tensor, Tensor]:
        if self._on_device is None:
            device, rows = self._branch.device, self._reader.rows
            with progress(f"branch {self._branch.number}, records to {device}", rows, "images") as advance:
                records = read_onto(device, self._reader, advance)
            labels = torch.from_numpy(self._branch.store.labels("train").astype(np.int64))
            self._on_device = records, to_device(labels, device)
        return self._on_device

    def _draw_mixings(self, keys: NDArray[np.int64], epoch: int) -> list[Mixing]:
        config = self._branch.config.augment
        if not (config.mixup or config.cutmix):
            return []
        side, seed = self.crop_side, self._seeds["augment"]
        return [
            draw_mixing(part, (side, side), config=config, seed=seed, epoch=epoch)
            for part in keys.reshape(-1, self._size)
        ]
