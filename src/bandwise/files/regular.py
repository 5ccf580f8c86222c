"""The one rule for opening a file of ours: a regular file, read without waiting; else a `CorruptionError`."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from bandwise.errors import CorruptionError

_CHUNK_BYTES = 1 << 20
_NO_FILE = {errno.ENXIO, errno.ELOOP}


def open_regular(path: Path) -> BinaryIO:
    """Open a file of ours for reading; never waits, whatever has its name."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CorruptionError(f"{path} is missing") from error
    except OSError as error:
        if error.errno in _NO_FILE:
            raise CorruptionError(f"{path} is no file, but a socket, a device or a link to itself") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptionError(f"{path} is no file, but a folder, pipe or device")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file of ours; one larger than `max_bytes` is refused."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise CorruptionError(f"{path} has {size} bytes; at most {max_bytes} are read")
        return stream.read()


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file of ours as 64 hexadecimal digits, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def append_line(path: Path, line: str) -> None:
    """Add a line to a log that nobody relies on; a pipe of its name is an `OSError`, not a wait."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "a", encoding="ascii") as stream:
        stream.write(line + "\n")
