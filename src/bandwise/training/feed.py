"""What a branch is trained on, batch by batch: stored bands as they were written, or images that are split now."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.draws import Purpose, hashes, uniform
from bandwise.augment.ondevice import to_device
from bandwise.augment.standardise import BandStandardiser
from bandwise.bands.module import BandSplit
from bandwise.config import AugmentConfig, RunConfig
from bandwise.sources.columns import Names
from bandwise.sources.source import Source
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.order import shuffled_windows
from bandwise.store.reading.rowgroups import RowGroupReader
from bandwise.store.reading.store import Store
from bandwise.training.pictureloader import PictureLoader
from bandwise.training.pictures import Draw, PictureRecipe
from bandwise.training.trainingsource import open_training_source

COPY_SHIFT = 32
"""The copy of an image under `aug_repeats` stands above its id, which is below 2^31: copy 0 has the plain id."""


class Feed(Protocol):
    """The training images of one branch."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        ...

    @property
    def augment(self) -> BandAugment:
        """What is left to do with the stored values of a batch, and mixup and cutmix."""
        ...

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield the batches of one epoch after the first `start`; ids tell copies apart, see `COPY_SHIFT`."""
        ...

    def stored(self, batch: Batch) -> Tensor:
        """Return what a store holds, or would hold, of a batch, on the device: (B, nb * C, side, side)."""
        ...

    def close(self) -> None:
        """End what works for this feed."""
        ...


class BandFeed:
    """Stored bands of a branch; crops and flips are done on them."""

    def __init__(
        self, config: RunConfig, store: Store, bands: tuple[int, ...], seeds: dict[str, int], device: torch.device
    ) -> None:
        """Prepare the split `train`; `seeds` has `order`, of the branch, and `augment`, of all branches.

        Raises:
            UsageError: a flip is asked for that the bands cannot do exactly.
        """
        training = config.training
        self._stream = BatchStream(store, bands, "train", training.batch_size, cache=training.cache)
        self._seed, self._device = seeds["order"], device
        self.augment = band_augment(config.augment, config, store, bands, seeds["augment"], side=store.side)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return self._stream.steps_per_epoch

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield stored bands, (B, nb * C, side, side)."""
        return self._stream.batches(epoch, seed=self._seed, start=start, drop_last=True)

    def stored(self, batch: Batch) -> Tensor:
        """Move the images of a batch to the device."""
        return to_device(batch.images, self._device)

    def close(self) -> None:
        """Nothing works in the background."""


class ImageFeed:
    """Images of the source, augmented at full resolution and split on the device to what a store would hold of them.

    The order of the images is that of `BandFeed`. With `aug_repeats` k, each image comes k times in a row, so a batch
    has k augmented copies of it (Hoffer et al., "Augment your batch", 2020; timm's `RepeatAugSampler` on one device),
    and an epoch, which stays as long as it was, sees a k-th of the images.

    Memory: three batches of bytes, and 8 bytes an image for the ids; the names lie in a mapped file.
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
        """Prepare the split `train`.

        Args:
            config: the run, with `augment.at` image.
            store: the store that was made from `source`.
            bands: the group of the branch.
            seeds: `order`, of the branch, and `augment`, of all branches.
            device: where the images are split.
            source: where they come from.
            names: their names there, by id.

        Raises:
            UsageError: `augment.aa` is no policy.
        """
        training, augment = config.training, config.augment
        crop = training.train_crop or training.crop
        self._sizes = RowGroupReader(store, bands, "train").sizes
        self._ids = store.ids("train").astype(np.int64, copy=False)
        self._labels = store.labels("train")
        self._names, self._seeds, self._device = names, seeds, device
        self._batch_size, self._copies = training.batch_size, max(1, augment.aug_repeats)
        self._flips = (augment.hflip, augment.vflip)
        self._loader = PictureLoader(
            PictureRecipe(source, store.config, augment, crop), training.batch_size, training.loader_workers
        )
        self._split = BandSplit(store.transform, bands, storage=store.config.storage).to(device)
        self._dtype = torch.uint8 if store.config.storage == "uint8" else torch.float16
        done = replace(augment, random_crop=False, hflip=0.0, vflip=0.0)
        self.augment = band_augment(done, config, store, bands, seeds["augment"], side=crop // config.split.stride)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return len(self._ids) // self._batch_size

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield augmented images, uint8 (B, C, crop, crop); those before `start` are not read.

        Raises:
            BandwiseError: an image cannot be used any more, or a worker process died; the image is named.
        """
        chosen = [self._chosen(epoch, start), self._chosen(epoch, start)]
        images = self._loader.batches(self._draws(positions, keys, epoch) for positions, keys in chosen[0])
        for pixels, (positions, keys) in zip(images, chosen[1], strict=True):
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
            for purpose, share in zip((Purpose.FLIP_HORIZONTAL, Purpose.FLIP_VERTICAL), self._flips, strict=True)
        )
        names = self._names.take(self._ids[positions])
        return [Draw(*one) for one in zip(names, states, across, down, strict=True)]


def open_feed(
    config: RunConfig, store: Store, folder: Path, bands: tuple[int, ...], seeds: dict[str, int], device: torch.device
) -> Feed:
    """Open the training images where `augment.at` says.

    Raises:
        UsageError: the augmentation is not possible, or there is no such source.
        IncompatibleError: the source is not the one that the store was made from.
    """
    if config.augment.at == "band":
        return BandFeed(config, store, bands, seeds, device)
    return ImageFeed(config, store, bands, seeds, device, *open_training_source(config.data, store, folder))


def band_augment(
    augment: AugmentConfig, config: RunConfig, store: Store, bands: tuple[int, ...], seed: int, *, side: int
) -> BandAugment:
    """Return the augmentation of stored values of `side` band pixels, to the crops of training."""
    cutter = BandCutter(
        BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands)),
        side=side,
        crop_side=(config.training.train_crop or config.training.crop) // config.split.stride,
        inexact_flip=augment.inexact_flip,
        # A step is over before the next batch is cut.
        reuse=True,
    )
    return BandAugment(augment, cutter, seed)
