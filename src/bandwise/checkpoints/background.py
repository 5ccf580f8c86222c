"""Writes checkpoints in a thread while the training goes on, from copies in host memory; one at a time."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor


def in_host_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors of any device, so that nothing that happens to them later is seen in the copies."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


class BackgroundWriter:
    """One thread, and what it writes now; an error is raised where somebody asks whether it is done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "bandwise-checkpoint")
        self._running: tuple[int, Future[object]] | None = None

    def start(self, step: int, write: Callable[[], object]) -> None:
        """Let the thread write the checkpoint of a step; the one before must have been asked for with `finish`."""
        assert self._running is None
        self._running = step, self._pool.submit(write)

    @property
    def is_done(self) -> bool:
        """Whether there is a checkpoint to `finish` without waiting."""
        return self._running is not None and self._running[1].done()

    def finish(self) -> int | None:
        """Wait for what is being written and return its step, or raise its error; None where nothing is."""
        if self._running is None:
            return None
        (step, future), self._running = self._running, None
        future.result()
        return step

    def close(self) -> None:
        """Wait for what is being written, whatever comes of it, and end the thread."""
        self._pool.shutdown(wait=True)
