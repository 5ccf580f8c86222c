"""Reads files of a source: regular files only, transient errors retried, never written to."""

import codecs
import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bandwise.errors import IncompatibleError, UsageError

T = TypeVar("T")

TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET})
DELAYS_S = (0.1, 0.5, 2.0)
MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Region:
    """An archive, which may itself be a member of another one.

    Attributes:
        read_at: returns `count` bytes from `offset` of the file that it lies in, fewer at the end.
        start: where it begins there.
        stop: where it must have ended.
        where: its name in messages.
    """

    read_at: Callable[[int, int], bytes]
    start: int
    stop: int
    where: str


def read_retrying(read: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call `read`, and again after 0.1, 0.5 and 2 seconds where a network file system fails in a way that may pass.

    A storage outage is never recorded as bad images, so the last error is raised, not turned into one.
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


def read_text(path: Path) -> str:
    """Return a text file of labels or class names: UTF-8, or UTF-16 as spreadsheets save it, and not too large."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size} bytes; a text of labels has at most {MAX_TEXT_BYTES}")
    return decode_text(read_file(bytes(path)), str(path))


def decode_text(content: bytes, where: str) -> str:
    """Decode UTF-8, with or without a byte-order mark, or UTF-16 with one; anything else is a `UsageError`."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        form = "UTF-16" if wide else "UTF-8"
        raise UsageError(f"{where} is no {form} text: {error.reason} at byte {error.start}") from error


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Region]:
    """Yield a whole archive for reading from anywhere in it; a link is followed: it may lie on another disk."""
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
