"""Training on images of the source, augmented at full resolution and split on the device to what a store would hold."""

import math
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from bandwise.augment.draws import Purpose, hashes, uniform
from bandwise.augment.standardise import to_device
from bandwise.bands.module import BandSplit
from bandwise.config import DataConfig, TrainingConfig
from bandwise.errors import IncompatibleError
from bandwise.files.atomic import explain_full_disk, temporary_path
from bandwise.machine import own_cores
from bandwise.progress import say
from bandwise.sources.columns import Names, PickedNames, pieces
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import SampleList, freeze_samples
from bandwise.sources.source import Source
from bandwise.store.layout import SAMPLES_NAME
from bandwise.store.origin import read_samples, source_differences
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import Batch
from bandwise.store.reading.order import COPY_SHIFT, shuffled_windows
from bandwise.store.reading.store import Store
from bandwise.training.feed import Feed
from bandwise.training.identity import Branch
from bandwise.training.pictures import Draw, PictureLoader, Pictures

_TIMED = 16
"""Images from which the rate of a core is told."""


def open_training_source(data: DataConfig, store: Store, folder: Path) -> tuple[Source, Names]:
    """Open the source of a store, and find the names of its training images, in the order of the ids.

    Listing the images takes as much memory as the split did, for a moment; the names then lie in a file without a name
    in `folder`, which is mapped. Another source, or one that has changed, is an `IncompatibleError` that says how.
    """
    source = open_source(data)
    if changed := source_differences(store, source):
        raise IncompatibleError(
            f"{data.data} is not what the store {store.path} was made from:\n  "
            + "\n  ".join(changed)
            + "\nname that source with --data (augment.at image reads it), or split again"
        )
    samples = freeze_samples(source, store.config, allow_empty_class=True)
    if samples.sha256() != store.manifest.samples.sha256:
        stored = read_samples(store.path / SAMPLES_NAME, store.classes)
        raise IncompatibleError(
            f"{data.data} has changed since the store {store.path} was made from it: {_difference(stored, samples)}; "
            "put it back as it was, or split again elsewhere"
        )
    train = samples.range("train")
    assert train.start == 0
    return source, _mapped(samples.paths[: train.stop], folder)


def _difference(stored: SampleList, now: SampleList) -> str:
    if stored.classes != now.classes:
        return f"it had {len(stored.classes)} classes and has {len(now.classes)}, or others"
    before, after = set(stored.paths), set(now.paths)
    found = [
        f"{len(names)} images {what}, for example {os.fsdecode(min(names))!r}"
        for what, names in (("are gone", before - after), ("are new", after - before))
        if names
    ]
    if found:
        return " and ".join(found)
    if list(stored.paths) == list(now.paths):
        for what, old, new in (("bytes", stored.sizes, now.sizes), ("as its class", stored.labels, now.labels)):
            if len(other := np.flatnonzero(old != new)):
                first = int(other[0])
                shown = os.fsdecode(stored.paths[first])
                return f"{len(other)} images differ, for example {shown!r} had {old[first]} {what} and has {new[first]}"
    return "its images are drawn into train and holdout otherwise"


def _mapped(names: Names | PickedNames, folder: Path) -> Names:
    """Move names to a mapped file, whose pages the system may drop; the file goes when the process does."""
    path = temporary_path(folder / "names.arrow")
    try:
        with explain_full_disk(path), path.open("wb") as stream:
            end = np.zeros(1, np.int64)
            stream.write(end.data)
            for here in pieces(len(names)):
                ends = end[-1] + np.cumsum(names[here].lengths())
                stream.write(ends.data)
                end = ends
            for here in pieces(len(names)):
                stream.write(names[here].packed().joined())
        content, offsets = pa.memory_map(str(path)).read_buffer(), (len(names) + 1) * end.itemsize
        buffers = [None, content.slice(0, offsets), content.slice(offsets)]
        return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(names), buffers, null_count=0))
    finally:
        path.unlink(missing_ok=True)


def decoding_processes(training: TrainingConfig) -> int:
    """Return how many processes decode and augment: those asked for; else one for every core that does not train."""
    if training.loader_workers is not None:
        return training.loader_workers
    return max(0, own_cores() - training.threads)


class ImageFeed(Feed):
    """The images of a source in the order of `BandFeed`; ids tell copies of an image apart, see `COPY_SHIFT`.

    With `aug_repeats` k, each image comes k times in a row, so a batch has k augmented copies of it (Hoffer et al.,
    "Augment your batch", 2020; timm's `RepeatAugSampler` on one device), and an epoch, which stays as long as it was,
    sees a k-th of the images. Memory: some batches of bytes, and 8 bytes an image for the ids; the names are mapped.
    """

    def __init__(self, branch: Branch, source: Source, names: Names) -> None:
        """Prepare the split `train` of the store that was made from `source`, whose images have `names`, by id."""
        config, store = branch.config, branch.store
        training, augment, split = config.training, config.augment, store.config
        crop = training.train_crop or training.crop
        left = replace(augment, random_crop=False, hflip=0.0, vflip=0.0)
        super().__init__(branch, left, crop // config.split.stride)
        self._sizes = RowGroupReader(store, branch.bands, "train").sizes
        self._ids = store.ids("train").astype(np.int64, copy=False)
        self._labels = store.labels("train")
        self._names = names
        self._batch_size, self._copies = training.batch_size, max(1, augment.aug_repeats)
        pictures, workers = Pictures(source, split, augment, crop), decoding_processes(training)
        self._loader = PictureLoader(pictures, training.batch_size, workers)
        self._say_rate(pictures, workers)
        self._split = BandSplit(store.transform, branch.bands, storage=split.storage, channels=store.channels).to(
            branch.device
        )
        self._dtype = torch.uint8 if split.storage == "uint8" else torch.float16

    @property
    def steps_per_epoch(self) -> int:
        return len(self._ids) // self._batch_size

    def batches(self, epoch: int, *, start: int) -> Iterator[Batch]:
        """Yield augmented images, uint8 (B, C, crop, crop); those before `start` are not read."""
        return self._coming(self._augmented(epoch, start))

    def _augmented(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        planned, chosen = tee(self._chosen(epoch, start))
        images = self._loader.batches(self._draws(positions, keys, epoch) for positions, keys in planned)
        for pixels, (positions, keys) in zip(images, chosen, strict=True):
            labels = torch.from_numpy(self._labels[positions].astype(np.int64))
            yield Batch(torch.from_numpy(keys), pixels, labels)

    def stored(self, batch: Batch) -> Tensor:
        """Split the images of a batch; the values are those that `BandQuantizer` writes."""
        return self._split(to_device(batch.images, self._branch.device)).to(self._dtype)

    def close(self) -> None:
        self._loader.close()

    def _chosen(self, epoch: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield positions in the split and keys, int64 (B,) each, of the batches of an epoch."""
        size, left = self._batch_size, self.steps_per_epoch - start
        skip = start * size
        positions, keys = np.empty(0, np.int64), np.empty(0, np.int64)
        for window in shuffled_windows(self._sizes, seed=self._seeds["order"], epoch=epoch, weights=self.row_weights):
            repeated = np.repeat(window.positions, self._copies)
            copies = np.add.outer(window.copies * self._copies, np.arange(self._copies)).ravel()
            taken, skip = min(skip, len(repeated)), max(0, skip - len(repeated))
            positions = np.concatenate([positions, repeated[taken:]])
            keys = np.concatenate([keys, (self._ids[repeated] + (copies << COPY_SHIFT))[taken:]])
            while left and len(keys) >= size:
                yield positions[:size], keys[:size]
                positions, keys, left = positions[size:], keys[size:], left - 1
            if not left:
                return

    def _say_rate(self, pictures: Pictures, workers: int) -> None:
        positions = np.arange(min(_TIMED, len(self._ids)))
        draws = self._draws(positions, self._ids[positions], 0)
        # The first one loads what all need.
        pictures.__getitems__(draws[:1])
        started = time.process_time()
        pictures.__getitems__(draws)
        rate = max(1, len(draws)) / max(time.process_time() - started, 1e-9)
        cores = math.ceil(1000 / rate)
        say(
            f"branch {self._branch.number}: one core reads and augments {rate:,.1f} images/s, processes for that: "
            f"{workers or 'none'}; for every 1,000 images/s that a device trains it takes {cores:,} cores"
        )

    def _draws(self, positions: np.ndarray, keys: np.ndarray, epoch: int) -> list[Draw]:
        seed, augment = self._seeds["augment"], self._branch.config.augment
        states = hashes(seed, epoch, Purpose.IMAGE, keys).tolist()
        across, down = (
            (uniform(seed, epoch, purpose, keys) < share).tolist()
            for purpose, share in (
                (Purpose.FLIP_HORIZONTAL, augment.hflip),
                (Purpose.FLIP_VERTICAL, augment.vflip),
            )
        )
        names = self._names.take(self._ids[positions])
        return [Draw(*one) for one in zip(names, states, across, down, strict=True)]
