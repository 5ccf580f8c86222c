"""Reads one file of a source: regular files only, transient errors retried, never written to."""

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import TypeVar

from bandwise.errors import IncompatibleError, UsageError

T = TypeVar("T")

TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET})
DELAYS_S = (0.1, 0.5, 2.0)


def read_retrying(read: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call `read`, and again after 0.1, 0.5 and 2 seconds where a network file system fails in a way that may pass.

    Only EIO, ESTALE, ETIMEDOUT and ECONNRESET are retried. A storage outage is never recorded as bad images, so the
    last error is raised, not turned into one.

    Raises:
        OSError: any other error at once, or the last transient one.
    """
    for delay_s in DELAYS_S:
        try:
            return read()
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise
        sleep(delay_s)
    return read()


def read_file(path: bytes, *, offset: int = 0, count: int | None = None) -> bytes:
    """Read a regular file, or `count` bytes of it from `offset`.

    Raises:
        IncompatibleError: the file is gone, shorter than asked for, or no regular file any more: the source has
            changed since it was listed. Or its size or time changed while it was read.
        UsageError: we may not read it.
        OSError: the storage fails, after the retries of `read_retrying`.
    """
    return read_retrying(lambda: _read_once(path, offset, count))


def _read_once(path: bytes, offset: int, count: int | None) -> bytes:
    shown = os.fsdecode(path)
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IncompatibleError(f"{shown!r} was listed but is gone: the source has changed; start again") from error
    except PermissionError as error:
        raise UsageError(f"no permission to read {shown!r}; change its mode or owner") from error
    with open(descriptor, "rb", buffering=0) as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise IncompatibleError(f"{shown!r} is no regular file any more: the source has changed; start again")
        content = stream.readall() if count is None else os.pread(descriptor, count, offset)
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise IncompatibleError(f"{shown!r} changed while it was read: wait until it is written; then start again")
    if count is not None and len(content) != count:
        raise IncompatibleError(f"{shown!r} ends before byte {offset + count}: the source has changed; start again")
    return content
