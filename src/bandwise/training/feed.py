"""What a branch is trained on, batch by batch: stored bands as they were written, or images that are split now."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.draws import Purpose, hashes, uniform
from bandwise.augment.mixing import mix
from bandwise.augment.standardise import BandStandardiser, to_device
from bandwise.bands.module import BandSplit
from bandwise.config import AugmentConfig, RunConfig
from bandwise.sources.columns import Names
from bandwise.sources.source import Source
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.order import shuffled_windows
from bandwise.store.reading.store import Store
from bandwise.training.pictures import Draw, PictureLoader, Pictures, open_training_source

COPY_SHIFT = 32
"""The copy of an image under `aug_repeats` stands above its id, which is below 2^31: copy 0 has the plain id."""


class Feed(ABC):
    """The training images of one branch."""

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        bands: tuple[int, ...],
        seeds: dict[str, int],
        device: torch.device,
        *,
        augment: AugmentConfig,
        side: int,
    ) -> None:
        """Prepare what is left to do with stored values of `side` band pixels: the draws of `augment`.

        Raises:
            UsageError: a flip is asked for that the bands cannot do exactly, or the crop is larger than what is stored.
        """
        self._config, self._seeds, self._device = config.augment, seeds, device
        self._smoothing, self._num_classes = config.training.smoothing, len(store.classes)
        cutter = BandCutter(
            BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands)),
            side=side,
            crop_side=(config.training.train_crop or config.training.crop) // config.split.stride,
            inexact_flip=augment.inexact_flip,
            # A step is over before the next batch is cut.
            reuse=True,
        )
        self.augment = BandAugment(augment, cutter, seeds["augment"])

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""

    @abstractmethod
    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield the batches of one epoch after the first `start`; ids tell copies apart, see `COPY_SHIFT`.

        Raises:
            BandwiseError: an image cannot be used any more, or a worker process died; the image is named.
        """

    @abstractmethod
    def stored(self, batch: Batch) -> Tensor:
        """Return what a store holds, or would hold, of a batch, on the device: (B, nb * C, side, side)."""

    def inputs(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        """Return what the network sees of a batch, augmented and mixed, and its labels or soft targets."""
        images = self.augment(self.stored(batch), batch.ids, epoch)
        labels = to_device(batch.labels, self._device)
        if not (self._config.mixup or self._config.cutmix):
            return images, labels
        return mix(
            images,
            labels,
            self._num_classes,
            config=self._config,
            ids=batch.ids,
            seed=self._seeds["augment"],
            epoch=epoch,
            smoothing=self._smoothing,
        )

    def close(self) -> None:
        """End what works for this feed."""
        return


class BandFeed(Feed):
    """Stored bands of a branch; crops and flips are done on them."""

    def __init__(
        self, config: RunConfig, store: Store, bands: tuple[int, ...], seeds: dict[str, int], device: torch.device
    ) -> None:
        """Prepare the split `train`, see `Feed`."""
        super().__init__(config, store, bands, seeds, device, augment=config.augment, side=store.side)
        training = config.training
        self._stream = BatchStream(store, bands, "train", training.batch_size, cache=training.cache)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return self._stream.steps_per_epoch

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield stored bands, (B, nb * C, side, side)."""
        return self._stream.batches(epoch, seed=self._seeds["order"], start=start, drop_last=True)

    def stored(self, batch: Batch) -> Tensor:
        """Move the images of a batch to the device."""
        return to_device(batch.images, self._device)


class ImageFeed(Feed):
    """Images of the source, augmented at full resolution and split on the device to what a store would hold of them.

    The order of the images is that of `BandFeed`. With `aug_repeats` k, each image comes k times in a row, so a batch
    has k augmented copies of it (Hoffer et al., "Augment your batch", 2020; timm's `RepeatAugSampler` on one device),
    and an epoch, which stays as long as it was, sees a k-th of the images.

    Memory: some batches of bytes, and 8 bytes an image for the ids; the names lie in a mapped file.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        bands: tuple[int, ...],
        seeds: dict[str, int],
        device: torch.device,
        source: Source,
        names: Names,
    ) -> None:
        """Prepare the split `train` of the store that was made from `source`, whose images have `names`, by id.

        Raises:
            UsageError: as `Feed`, or `augment.aa` is no policy.
        """
        training, augment = config.training, config.augment
        crop = training.train_crop or training.crop
        left = replace(augment, random_crop=False, hflip=0.0, vflip=0.0)
        super().__init__(config, store, bands, seeds, device, augment=left, side=crop // config.split.stride)
        self._sizes = RowGroupReader(store, bands, "train").sizes
        self._ids = store.ids("train").astype(np.int64, copy=False)
        self._labels = store.labels("train")
        self._names = names
        self._batch_size, self._copies = training.batch_size, max(1, augment.aug_repeats)
        self._loader = PictureLoader(
            Pictures(source, store.config, augment, crop), training.batch_size, training.loader_workers
        )
        self._split = BandSplit(store.transform, bands, storage=store.config.storage).to(device)
        self._dtype = torch.uint8 if store.config.storage == "uint8" else torch.float16

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return len(self._ids) // self._batch_size

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield augmented images, uint8 (B, C, crop, crop); those before `start` are not read."""
        planned, chosen = tee(self._chosen(epoch, start))
        images = self._loader.batches(self._draws(positions, keys, epoch) for positions, keys in planned)
        for pixels, (positions, keys) in zip(images, chosen, strict=True):
            labels = torch.from_numpy(self._labels[positions].astype(np.int64))
            yield Batch(torch.from_numpy(keys), pixels, labels)

    def stored(self, batch: Batch) -> Tensor:
        """Split the images of a batch; the values are those that `BandQuantizer` writes."""
        return self._split(to_device(batch.images, self._device)).to(self._dtype)

    def close(self) -> None:
        """End the worker processes."""
        self._loader.close()

    def _chosen(self, epoch: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions in the split and keys, int64 (B,) each, of the batches of an epoch."""
        size, left = self._batch_size, self.steps_per_epoch - start
        skip = start * size
        positions, keys = np.empty(0, np.int64), np.empty(0, np.int64)
        for window in shuffled_windows(self._sizes, seed=self._seeds["order"], epoch=epoch):
            repeated = np.repeat(window.positions, self._copies)
            copies = np.tile(np.arange(self._copies, dtype=np.int64), len(window.positions))
            taken, skip = min(skip, len(repeated)), max(0, skip - len(repeated))
            positions = np.concatenate([positions, repeated[taken:]])
            keys = np.concatenate([keys, (self._ids[repeated] + (copies << COPY_SHIFT))[taken:]])
            while left and len(keys) >= size:
                yield positions[:size], keys[:size]
                positions, keys, left = positions[size:], keys[size:], left - 1
            if not left:
                return

    def _draws(self, positions: np.ndarray, keys: np.ndarray, epoch: int) -> list[Draw]:
        seed = self._seeds["augment"]
        states = hashes(seed, epoch, Purpose.IMAGE, keys).tolist()
        across, down = (
            (uniform(seed, epoch, purpose, keys) < share).tolist()
            for purpose, share in (
                (Purpose.FLIP_HORIZONTAL, self._config.hflip),
                (Purpose.FLIP_VERTICAL, self._config.vflip),
            )
        )
        names = self._names.take(self._ids[positions])
        return [Draw(*one) for one in zip(names, states, across, down, strict=True)]


def open_feed(
    config: RunConfig, store: Store, folder: Path, bands: tuple[int, ...], seeds: dict[str, int], device: torch.device
) -> Feed:
    """Open the training images where `augment.at` says; raises as `Feed` and `open_training_source`."""
    if config.augment.at == "band":
        return BandFeed(config, store, bands, seeds, device)
    return ImageFeed(config, store, bands, seeds, device, *open_training_source(config.data, store, folder))
