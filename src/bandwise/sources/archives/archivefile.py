"""Opens one archive for reading from anywhere in it."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.archives.tarindex import Region
from bandwise.sources.reading import read_retrying


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Region]:
    """Yield a whole file as a region; a link to a file is followed, since archives often lie on another disk.

    Raises:
        UsageError: the file is missing, is no regular file, or may not be read.
    """
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is no regular file")
        if sys.platform == "linux":
            # Headers lie a picture apart: reading ahead would read the pictures too.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        yield Region(
            lambda offset, count: read_retrying(lambda: os.pread(descriptor, count, offset)),
            0,
            status.st_size,
            str(path),
        )
    finally:
        os.close(descriptor)


def memory_region(content: bytes, where: str) -> Region:
    """Return bytes in memory as a region."""
    return Region(lambda offset, count: content[offset : offset + count], 0, len(content), where)
