"""Signals that ask a long piece of work to stop at the next safe point."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from bandwise.errors import Preempted

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_LAUNCHED = "BANDWISE_LAUNCHED"


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], signal.Signals | None]]:
    """Turn SIGTERM, SIGINT and SIGUSR1 into a question that the work asks at its safe points.

    Yields a function that returns the signal received so far, or None. A second SIGINT interrupts at once. Outside the
    main thread nothing is installed, since Python delivers no signals there, and the answer stays None.
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


def exit_resumable() -> None:
    """Let SIGTERM and SIGUSR1 end this process with the exit code of `Preempted` outside `stop_requested`.

    So it is while modules are still imported: a scheduler that takes a job back in its first seconds then sees one to
    start again, not one that failed. Nothing is unsaved there, and every file of ours is whole at any moment.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    # Not through sys.stderr, which may be in use at this moment.
    os.write(2, f"bandwise: stopped by {signal.Signals(number).name}; the same command resumes\n".encode())
    os._exit(Preempted.exit_code)


def launched_environment() -> dict[str, str]:
    """Return the environment of a process that is to call `follow_launcher`; its standard input must be a pipe."""
    return {**os.environ, _LAUNCHED: "1"}


def follow_launcher() -> None:
    """Stop this process as for SIGTERM when the launcher that started it is gone, however it went.

    The sign is the end of standard input, a pipe that only the launcher holds: it comes even if the launcher died
    before this process began to look, and needs no process number, which another process may have by then. Does nothing
    in a process that no launcher of ours started.
    """
    if os.environ.pop(_LAUNCHED, None) is not None:
        threading.Thread(target=_wait_for_launcher, daemon=True).start()


def _wait_for_launcher() -> None:
    while os.read(0, 1):
        pass
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Nothing is unsaved outside `stop_requested`, and every file of ours is whole at any moment.
        os._exit(Preempted.exit_code)
    os.kill(os.getpid(), signal.SIGTERM)


def die_with_parent() -> None:
    """End this worker process, made by `multiprocessing`, as soon as the process that made it is gone."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    # Here, since every command begins with this file, and few need these.
    import multiprocessing
    import multiprocessing.connection

    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
