"""Batches of augmented images, made in this process or in others; which one makes an image changes nothing in it."""

import ctypes
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bandwise.errors import BandwiseError
from bandwise.signals import STOP_SIGNALS, die_with_parent
from bandwise.training.pictures import Draw, PictureReader, PictureRecipe

_SLOTS = 3
"""Batches in memory: the one in use, and those that are being made."""

_worker: dict[str, Any] = {}


class PictureLoader:
    """Makes batches of one size, in the order in which they are asked for."""

    def __init__(self, recipe: PictureRecipe, batch_size: int, workers: int) -> None:
        """Prepare; processes start with the first batch.

        Args:
            recipe: how an image is made.
            batch_size: images in every batch.
            workers: processes; 0 makes the images in this one.

        Raises:
            UsageError: `recipe.augment.aa` is no policy.
        """
        self._recipe, self._workers = recipe, workers
        self._shape = (batch_size, recipe.crop, recipe.crop, recipe.source.channels)
        self._reader = PictureReader(recipe)
        self._pool: ProcessPoolExecutor | None = None
        self._slots = np.empty(0, np.uint8)

    def batches(self, plan: Iterable[Sequence[Draw]]) -> Iterator[Tensor]:
        """Yield the images of each batch of a plan, uint8 (B, C, crop, crop); the next one overwrites it.

        Raises:
            BandwiseError: an image cannot be used, or a worker process died.
        """
        for slot in self._from_workers(plan) if self._workers else self._from_here(plan):
            yield torch.from_numpy(slot).permute(0, 3, 1, 2)

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _from_here(self, plan: Iterable[Sequence[Draw]]) -> Iterator[np.ndarray]:
        slot = np.empty(self._shape, np.uint8)
        for draws in plan:
            for draw, out in zip(draws, slot, strict=True):
                self._reader.read(draw, out)
            yield slot

    def _from_workers(self, plan: Iterable[Sequence[Draw]]) -> Iterator[np.ndarray]:
        pool = self._start()
        waiting: deque[tuple[int, list[Future[None]]]] = deque()
        for number, draws in enumerate(plan):
            slot = number % _SLOTS
            parts = np.array_split(np.arange(len(draws)), min(self._workers, len(draws)))
            chunks = [(int(rows[0]), draws[rows[0] : rows[-1] + 1]) for rows in parts]
            waiting.append((slot, [pool.submit(_make, slot, first, chunk) for first, chunk in chunks]))
            if len(waiting) == _SLOTS:
                yield self._finished(*waiting.popleft())
        while waiting:
            yield self._finished(*waiting.popleft())

    def _finished(self, slot: int, parts: Sequence[Future[None]]) -> np.ndarray:
        try:
            for part in parts:
                part.result()
        except BrokenProcessPool as error:
            raise BandwiseError(
                "a process that decodes images died (killed, out of memory, or a decoder crashed); the last checkpoint "
                "is intact: run again, with fewer --loader-workers if memory is short"
            ) from error
        return self._slots[slot]

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not fork: a forked copy of a process that has threads (BLAS, CUDA, a progress bar) may hang.
            context = multiprocessing.get_context("spawn")
            shape = (_SLOTS, *self._shape)
            # Anonymous memory that the workers inherit: it has no name that could be left behind.
            memory = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
            self._slots = np.ctypeslib.as_array(memory).reshape(shape)
            self._pool = ProcessPoolExecutor(self._workers, context, _start_worker, (self._recipe, memory, shape))
        return self._pool


def _start_worker(recipe: PictureRecipe, memory: Any, shape: tuple[int, ...]) -> None:
    # Such a signal reaches every process of a job; only the parent decides what it means.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    torch.set_num_threads(1)
    _worker.update(reader=PictureReader(recipe), slots=np.ctypeslib.as_array(memory).reshape(shape))


def _make(slot: int, first: int, draws: Sequence[Draw]) -> None:
    out = _worker["slots"][slot]
    for row, draw in enumerate(draws, first):
        _worker["reader"].read(draw, out[row])
