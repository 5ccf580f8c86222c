"""On a terminal, one display of how far all branches are that train at once: a bar for each."""

import atexit
import contextlib
import json
import os
from typing import Any

from bandwise.progress import bars

_MOST_BYTES = 1 << 16


class Bars:
    """Reads what processes say of their progress, and draws a bar for each while any of them runs."""

    def __init__(self) -> None:
        self._display: Any = None
        self._rest: dict[int, bytes] = {}
        self._tasks: dict[int, Any] = {}

    def open(self) -> tuple[int, int]:
        """Return the ends of a new pipe: where this process reads, and where another is to write."""
        reads, writes = os.pipe()
        os.set_blocking(reads, False)
        self._rest[reads] = b""
        if self._display is None:
            self._display = bars()
            self._display.start()
            # The cursor is hidden while it draws.
            atexit.register(self._display.stop)
        return reads, writes

    def look(self, reads: int) -> None:
        """Draw what has come from one process."""
        with contextlib.suppress(BlockingIOError):
            *lines, self._rest[reads] = (self._rest[reads] + os.read(reads, _MOST_BYTES)).split(b"\n")
            if lines:
                self._draw(reads, lines[-1])

    def close(self, reads: int) -> None:
        """Take the bar of a process that has ended away; the display ends with the last of them."""
        os.close(reads)
        del self._rest[reads]
        if (task := self._tasks.pop(reads, None)) is not None:
            self._display.remove_task(task)
        if not self._rest:
            atexit.unregister(self._display.stop)
            self._display.stop()
            self._display = None

    def _draw(self, reads: int, line: bytes) -> None:
        # A line may be torn where the pipe was full.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            facts = {"description": found["what"], "completed": found["done"], "total": found["total"]}
            if reads not in self._tasks:
                self._tasks[reads] = self._display.add_task("", rate="")
            self._display.update(self._tasks[reads], rate=found["rate"], **facts)
