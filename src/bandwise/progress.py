"""Progress on the standard error: a bar on a terminal, a plain line now and then elsewhere, nothing if quiet."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

QUIET = "BANDWISE_QUIET"
"""Set, also for the processes of branches, where nothing but results, warnings and errors is wanted."""

PIPE = "BANDWISE_PROGRESS_PIPE"
"""File descriptor on which a process says how far it is, where the one that started it shows several at once."""

_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_REPORTS = 0.2
_pipe: list[int] = []
_WARNING = "WARNING"

Advance = Callable[[int], None]


@contextmanager
def progress(what: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
    """Show how far a piece of work is, its rate and the time left, in units such as "images".

    Yields a function to call with the number of units just finished. Those that an earlier run has `done` do not count
    in the rate.
    """
    if os.environ.get(QUIET):
        yield lambda count: None
    elif _pipe:
        yield _reports(what, total, unit, done)
    elif sys.stderr.isatty():
        with _bar(what, total, unit, done) as advance:
            yield advance
    else:
        yield _lines(what, total, unit, done)


def report_to_launcher() -> None:
    """From now on say how far this process is to the one that started it, if that has asked for it."""
    if (descriptor := os.environ.pop(PIPE, None)) is not None:
        _pipe[:] = [int(descriptor)]
        # Neither waited for nor handed on: a launcher may be slow, or gone.
        os.set_blocking(int(descriptor), False)
        os.set_inheritable(int(descriptor), False)


def bars() -> Any:
    """Return a display of bars of rich, not started yet; a task needs the field `rate`."""
    # Here, because most processes draw none.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def _bar(what: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    with bars() as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")
        started = time.monotonic()
        here = 0

        def advance(count: int) -> None:
            nonlocal here
            here += count
            elapsed = time.monotonic() - started
            bar.update(task, advance=count, rate=f"{here / max(elapsed, 1e-9):.0f} {unit}/s")

        yield advance


def _reports(what: str, total: int, unit: str, done: int) -> Advance:
    started = time.monotonic()
    said, here = 0.0, 0

    def advance(count: int) -> None:
        nonlocal here, said
        here += count
        now = time.monotonic()
        if now - said < _SECONDS_BETWEEN_REPORTS and done + here < total:
            return
        said = now
        rate = f"{here / max(now - started, 1e-9):.0f} {unit}/s"
        line = json.dumps({"what": what, "done": done + here, "total": total, "rate": rate})
        with contextlib.suppress(OSError):
            os.write(_pipe[0], line.encode() + b"\n")

    return advance


def _lines(what: str, total: int, unit: str, done: int) -> Advance:
    started = time.monotonic()
    printed = started
    here = 0

    def advance(count: int) -> None:
        nonlocal here, printed
        here += count
        now = time.monotonic()
        finished = done + here
        if now - printed < _SECONDS_BETWEEN_LINES and finished < total:
            return
        printed = now
        rate = here / max(now - started, 1e-9)
        left = (total - finished) / max(rate, 1e-9)
        say(f"{what}: {finished}/{total} {unit}, {rate:.0f} {unit}/s, {left:.0f} s left")

    return advance


def say(text: str) -> None:
    """Print one line of information where it cannot disturb `--json` output; where it is quiet, only a warning."""
    if text.startswith(_WARNING) or not os.environ.get(QUIET):
        show(text, sys.stderr)


def show(text: str, stream: TextIO) -> None:
    """Print a line with escapes for what the terminal cannot show: a name may hold any character, and bytes of none.

    A reader that has gone away is no error and stops no work: from then on nothing is printed to it.
    """
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        # What is left in the buffer is written when Python ends, which must not fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
