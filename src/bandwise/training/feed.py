"""What a branch is trained on, batch by batch; here stored bands as they were written, in `images` images split now."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.geometry import GroupFlips
from bandwise.augment.standardise import BandStandardiser, to_device
from bandwise.bands.transform import SubbandTransform
from bandwise.config import AugmentConfig, RunConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.machine import usable_cores
from bandwise.store.reading.loader import Batch, BatchStream, Cache
from bandwise.training.classweights import row_weights
from bandwise.training.identity import Branch

_READERS = 4
"""Threads that read the store for an accelerator."""
_SLOTS = 2
"""Batches on the way to it: the one that is in use, and the next."""


class Feed(ABC):
    """The training images of one branch."""

    def __init__(self, branch: Branch, augment: AugmentConfig, side: int) -> None:
        """Prepare what is left to do with stored values of `side` band pixels: the draws of `augment`.

        A flip that the bands cannot do exactly, and a crop larger than what is stored, are a `UsageError`.
        """
        config, store, bands = branch.config, branch.store, branch.bands
        self._branch, self._seeds = branch, branch.seeds
        self.row_weights = row_weights(store) if config.training.sampling == "balanced" else None
        """How often each training image comes in an epoch on average; once when None."""
        self._goes_ahead = branch.device.type == "cuda"
        self.crop_side = (config.training.train_crop or config.training.crop) // config.split.stride
        """Of what the network sees, in band pixels."""
        cutter = BandCutter(
            BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands)),
            side=side,
            crop_side=self.crop_side,
            inexact_flip=augment.inexact_flip,
            # A step is over before the next batch is cut.
            reuse=True,
        )
        self.augment = BandAugment(augment, cutter, self._seeds["augment"])

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""

    @abstractmethod
    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield the batches of one epoch after the first `start`; an image that cannot be used is named in an error."""

    @abstractmethod
    def stored(self, batch: Batch) -> Tensor:
        """Return what a store holds, or would hold, of a batch, on the device: (B, nb * C, side, side)."""

    def inputs(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        """Return what the network sees of a batch, augmented and mixed, and its labels or soft targets."""
        config = self._branch.config
        images = self.augment(self.stored(batch), batch.ids, epoch)
        labels = to_device(batch.labels, self._branch.device)
        if not (config.augment.mixup or config.augment.cutmix):
            return images, labels
        # Here, because a training that mixes nothing needs nothing of it.
        from bandwise.augment.mixing import mix

        return mix(
            images,
            labels,
            len(self._branch.store.classes),
            config=config.augment,
            ids=batch.ids,
            seed=self._seeds["augment"],
            epoch=epoch,
            smoothing=config.training.smoothing,
        )

    def _coming(self, batches: Generator[Batch, None, None]) -> Iterator[Batch]:
        """Yield batches, for an accelerator each on its way while the one before is in use, from pinned memory."""
        if not self._goes_ahead:
            return batches
        return ahead(batches, self._branch.device)

    def close(self) -> None:
        """End what works for this feed."""
        return


class BandFeed(Feed):
    """Stored bands of a branch; crops and flips are done on them."""

    def __init__(self, branch: Branch) -> None:
        super().__init__(branch, branch.config.augment, branch.store.side)
        training = branch.config.training
        self._stream = BatchStream(
            branch.store,
            branch.bands,
            "train",
            training.batch_size,
            cache=host_cache(training),
            readers=min(_READERS, usable_cores()) if self._goes_ahead else 1,
            weights=self.row_weights,
        )

    @property
    def steps_per_epoch(self) -> int:
        return self._stream.steps_per_epoch

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        return self._coming(self._stream.batches(epoch, seed=self._seeds["order"], start=start, drop_last=True))

    def stored(self, batch: Batch) -> Tensor:
        return to_device(batch.images, self._branch.device)


def host_cache(training: TrainingConfig) -> Cache:
    """Return where records stay that are not kept on the device: of a holdout, or of a branch that does not fit."""
    return "auto" if training.cache == "device" else training.cache


def open_feed(branch: Branch) -> Feed:
    """Open the training images where `augment.at` says; raises as `Feed` and `images.open_training_source`."""
    # Each here, because a training needs nothing of the others.
    if branch.config.augment.at == "band":
        cache = branch.config.training.cache
        if cache == "device" or (cache == "auto" and branch.device.type != "cpu"):
            from bandwise.training.memory import records_fit_on_device
            from bandwise.training.resident import ResidentFeed

            if records_fit_on_device(branch):
                return ResidentFeed(branch)
        return BandFeed(branch)
    from bandwise.training.images import ImageFeed, open_training_source

    require_augmentation(branch.config, branch.store.channels)
    return ImageFeed(branch, *open_training_source(branch.config.data, branch.store, branch.folder))


def require_augmentation(config: RunConfig, channels: int) -> None:
    """Refuse a flip that the bands of a branch cannot do, a policy that does not exist, or colours of many channels."""
    augment, split = config.augment, config.split
    if augment.at == "image":
        from bandwise.augment.transforms import PictureAugment

        if channels not in (1, 3):
            raise UsageError(f"augment.at image takes pictures of 1 or 3 channels, not {channels}; use augment.at band")
        PictureAugment(augment, config.training.crop)
        return
    transform = SubbandTransform(split.stride, split.transform, split.transform_seed)
    for bands in config.groups():
        flips = GroupFlips(transform, bands, inexact=augment.inexact_flip)
        flips.matrix(horizontal=augment.hflip > 0, vertical=augment.vflip > 0)


def ahead(batches: Generator[Batch, None, None], device: torch.device) -> Iterator[Batch]:
    """Yield batches with images and labels on the device, each begun while the one before is in use.

    Their memory is used again two batches later. What goes wrong comes with its batch.
    """
    slots = [_Slot(device) for _ in range(_SLOTS)]
    pool = ThreadPoolExecutor(1, "bandwise-ahead")

    def send(number: int) -> _Slot | None:
        batch = next(batches, None)
        return None if batch is None else slots[number % _SLOTS].send(batch)

    try:
        number, coming = 0, pool.submit(send, 0)
        while (slot := coming.result()) is not None:
            number += 1
            coming = pool.submit(send, number)
            yield slot.receive()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        batches.close()


class _Slot:
    """Memory of the host for one batch, pinned where a device copies from it, and the way from there."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._copied = torch.cuda.Event(blocking=True) if self._stream is not None else None
        self._host: Tensor | None = None
        self._sent: Batch | None = None

    def send(self, batch: Batch) -> "_Slot":
        """Take a batch, whose memory may be overwritten afterwards, and queue its copy; runs in the thread."""
        if self._host is None or self._host.shape != batch.images.shape:
            self._host = torch.empty_like(batch.images, pin_memory=self._stream is not None)
        if self._copied is not None:
            # The memory is in use until the copy of two batches before is done.
            self._copied.synchronize()
        images, labels = self._host.copy_(batch.images), batch.labels
        if self._stream is not None and self._copied is not None:
            with torch.cuda.stream(self._stream):
                images = images.to(self._device, non_blocking=True)
                labels = labels.pin_memory().to(self._device, non_blocking=True)
                self._copied.record(self._stream)
        self._sent = Batch(batch.ids, images, labels)
        return self

    def receive(self) -> Batch:
        """Return the batch, which what is queued from now on may use."""
        assert self._sent is not None
        if self._copied is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(self._copied)
            for values in (self._sent.images, self._sent.labels):
                values.record_stream(current)
        return self._sent
