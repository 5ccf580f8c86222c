"""The next batch on its way to the device while a step runs: gathered by a thread, copied on a stream of its own."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from bandwise.store.reading.loader import Batch

_SLOTS = 2
"""One for the batch that is in use, one for the next."""


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
