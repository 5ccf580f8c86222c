"""The training images of a store, read again from its source: decoded and augmented in batches, not yet split."""

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bandwise.augment.transforms import PictureAugment
from bandwise.config import AugmentConfig, SplitConfig
from bandwise.errors import BandwiseError, IncompatibleError
from bandwise.signals import STOP_SIGNALS, die_with_parent
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode, to_canvas
from bandwise.sources.source import Source


@dataclass(frozen=True, slots=True)
class Draw:
    """One image to read, and what was drawn for it."""

    path: bytes
    """Name inside the source."""
    state: int
    """Seed of its crop and colours, 0 to 2^64 - 1."""
    horizontal: bool
    vertical: bool


class Pictures(Dataset[np.ndarray]):
    """Reads and augments images by their draws; goes to worker processes, and depends on nothing there."""

    def __init__(self, source: Source, split: SplitConfig, augment: AugmentConfig, crop: int) -> None:
        """Prepare for crops of `crop` pixels a side: a multiple of the stride, at most the canvas of `split`."""
        self._source, self._split, self._crop = source, split, crop
        self._augment = PictureAugment(augment, crop)

    def __getitems__(self, draws: Sequence[Draw]) -> np.ndarray | BandwiseError | MemoryError:
        """Return the pixels of some images, uint8 (N, crop, crop, C), or why one of them cannot be used.

        An error that is raised in a worker process would arrive with another text.
        """
        pixels = np.empty((len(draws), self._crop, self._crop, self._source.channels), np.uint8)
        try:
            for draw, out in zip(draws, pixels, strict=True):
                picture = np.asarray(self._read(draw))
                out[...] = picture[:, :, None] if picture.ndim == 2 else picture
        except (BandwiseError, MemoryError) as error:
            return error
        # No tensor: torch lends its memory by way of the worker, which may be dead by then.
        return pixels

    def _read(self, draw: Draw) -> Image.Image:
        """Read and augment one image; errors name it."""
        shown = repr(draw.path.decode("utf-8", "backslashreplace"))
        try:
            picture = self._decode(draw.path)
            return self._augment(picture, draw.state, horizontal=draw.horizontal, vertical=draw.vertical)
        except (BandwiseError, MemoryError):
            raise
        except BadImage as error:
            raise IncompatibleError(
                f"the training image {shown} was readable when the store was made and is not any more: {error}; "
                "put the old file back, or split again elsewhere"
            ) from error
        except Exception as error:
            raise BandwiseError(
                f"the training image {shown} cannot be used: {type(error).__name__}: {error}"
            ) from error

    def _decode(self, path: bytes) -> Image.Image:
        """Return the whole picture, or the centre of its canvas where the crop is not random."""
        split, crop = self._split, self._crop
        picture, _ = decode(
            self._source.read(path),
            channels=self._source.channels,
            background=split.background,
            exif=split.exif,
            depth=split.depth,
            least_side=0 if self._augment.resizes else split.draft * split.canvas,
            max_pixels=split.max_pixels,
            name=path,
        )
        if not self._augment.resizes:
            # As `BandCutter` cuts the centre of a stored record, so that both give the same pixels.
            start = (split.canvas // split.stride - crop // split.stride) // 2 * split.stride
            picture = to_canvas(picture, split.canvas)[start : start + crop, start : start + crop]
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(np.ascontiguousarray(picture[:, :, 0] if picture.shape[2] == 1 else picture))
        return picture


class PictureLoader:
    """Makes batches in the order in which they are asked for; no pixel depends on who makes it.

    Several processes share each batch. Their memory is twice that of a batch, and one batch here.
    """

    def __init__(self, pictures: Pictures, batch_size: int, workers: int) -> None:
        """Prepare; processes start with the first batch. With 0 of them the images are made in this one."""
        self._plan = _Plan(max(1, min(workers, batch_size)))
        self._loader = DataLoader(
            pictures,
            batch_sampler=self._plan,
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Not fork: a forked copy of a process that has threads (BLAS, CUDA, a progress bar) may hang.
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_start_worker,
            # Else it would draw from the generator that dropout draws from.
            generator=torch.Generator(),
        )

    def batches(self, plan: Iterable[list[Draw]]) -> Iterator[Tensor]:
        """Yield the images of each batch of a plan, uint8 (B, C, crop, crop); what cannot be used raises its error."""
        self._plan.batches = plan
        found = self._start()
        while parts := self._next(found):
            for part in parts:
                if isinstance(part, Exception):
                    raise part
            yield torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts)).permute(0, 3, 1, 2)

    def close(self) -> None:
        """End the worker processes."""
        iterator: Any = self._loader._iterator
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None

    def _start(self) -> Iterator[Any]:
        if threading.current_thread() is not threading.main_thread():
            return iter(self._loader)
        # torch raises an error wherever the program is when a worker dies; asking for the next batch tells it too.
        handler = signal.getsignal(signal.SIGCHLD)
        try:
            return iter(self._loader)
        finally:
            signal.signal(signal.SIGCHLD, handler)

    def _next(self, found: Iterator[Any]) -> list[Any]:
        try:
            return list(islice(found, self._plan.parts))
        except RuntimeError as error:
            raise BandwiseError(
                "a process that decodes images died (killed, out of memory, or a decoder crashed); the last checkpoint "
                "is intact: run again, with fewer --loader-workers if memory is short"
            ) from error


class _Plan:
    """The draws of an epoch for `DataLoader`, each batch in equal parts."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.batches: Iterable[list[Draw]] = ()

    def __iter__(self) -> Iterator[list[Draw]]:
        for draws in self.batches:
            for rows in np.array_split(np.arange(len(draws)), self.parts):
                yield draws[rows[0] : rows[-1] + 1]


def _unchanged(pixels: Any) -> Any:
    return pixels


def _start_worker(number: int) -> None:
    # Such a signal reaches every process of a job; only the parent decides what it means.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    die_with_parent()
