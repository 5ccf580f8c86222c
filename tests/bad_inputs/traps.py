"""What brings down, or holds up, the process that meets it."""

import os
from pathlib import Path

from tests.helpers.traps import trap

from bandwise.sources.folder import FolderSource


class CrashingFolder(FolderSource):
    """`trap.png` ends the process of its decoder."""

    what = "segfault"

    def read(self, path: bytes) -> bytes:
        content = super().read(path)
        return trap(content, self.what) if path.endswith(b"trap.png") else content


class HangingFolder(CrashingFolder):
    """`trap.png` is never decoded to its end."""

    what = "hang"


def end_process(*_: object) -> None:
    """Stand in for a piece of work that takes its process down."""
    os._exit(9)


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
