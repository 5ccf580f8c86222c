"""Signals that ask a long piece of work to stop at the next safe point."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], signal.Signals | None]]:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a question that the work asks at its safe points.

    A second SIGINT interrupts at once. Outside the main thread nothing is installed, since Python delivers no signals
    there, and the answer stays None.

    Yields:
        A function that returns the signal received so far, or None.
    """
    received: list[signal.Signals] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal.SIGINT in received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))

    def answer() -> signal.Signals | None:
        return received[0] if received else None

    if threading.current_thread() is not threading.main_thread():
        yield answer
        return
    previous = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield answer
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def die_with_parent() -> None:
    """End this worker process, made by `multiprocessing`, as soon as the process that made it is gone."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
