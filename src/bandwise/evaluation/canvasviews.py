"""What a network sees of a whole image at evaluation: crops that are cut before the split, one or ten."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bandwise.augment.standardise import to_device
from bandwise.bands.module import BandSplit
from bandwise.evaluation.crops import evaluation_boxes
from bandwise.evaluation.views import cutter_of
from bandwise.store.reading.store import Store


class CanvasViews:
    """The views of `BandViews`, cut from the whole image; of unmirrored crops they are the same bits.

    A mirrored crop of a uint8 store differs by one stored step where a value lay halfway between two: the store rounded
    it before it was mirrored, this class rounds it afterwards.
    """

    def __init__(self, store: Store, bands: tuple[int, ...], crop: int, crops: int, device: torch.device) -> None:
        """Prepare for one group of bands, as `BandViews`."""
        self._boxes = evaluation_boxes(store.side, crop, crops)
        self._stride, self._side, self._device = store.config.stride, crop * store.config.stride, device
        self._split = BandSplit(store.transform, bands, storage=store.config.storage, channels=store.channels).to(
            device
        )
        self._stored_as = torch.uint8 if store.config.storage == "uint8" else torch.float16
        self._cutter = cutter_of(store, bands, crop, crop)

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the views of canvases, uint8 (B, C, canvas, canvas), as float32 (B, nb * C, crop, crop)."""
        images = to_device(images, self._device)
        for top, left, mirrored in self._boxes:
            rows = slice(self._stride * top, self._stride * top + self._side)
            columns = slice(self._stride * left, self._stride * left + self._side)
            view = images[:, :, rows, columns]
            stored = self._split(view.flip(3) if mirrored else view).to(self._stored_as)
            yield self._cutter.center(stored.contiguous(memory_format=torch.channels_last))
