"""The one rule for opening a file of ours: a regular file, read without waiting; else a `CorruptionError`.

Of a file that a record lists with size and SHA-256, the bytes that are checked are the ones that are used.
"""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from bandwise.errors import CorruptionError

_NO_FILE = {errno.ENXIO, errno.ELOOP}


def open_regular(path: Path) -> BufferedReader:
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
    """Return the SHA-256 of a file of ours as 64 hexadecimal digits."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a record says of one file."""

    bytes: int
    sha256: str


def facts_of(content: bytes) -> FileFacts:
    """Return what a record has to say of a file of this content."""
    return FileFacts(len(content), sha256_bytes(content))


def read_listed(file: Path, facts: FileFacts, record: str) -> bytes:
    """Return the bytes of a file, if they are the ones that the file `record` names."""
    with open_regular(file) as stream:
        # First, so that a file that has grown beyond all measure is not read.
        if (size := os.fstat(stream.fileno()).st_size) != facts.bytes:
            raise CorruptionError(f"{file} has {size} bytes, not the {facts.bytes} that {record} says")
        content = stream.read()
    if sha256_bytes(content) != facts.sha256:
        raise CorruptionError(f"{file} is altered: its SHA-256 is not the one in {record}")
    return content


def append_line(path: Path, line: str) -> None:
    """Add a line to a log that nobody relies on; a pipe of its name is an `OSError`, not a wait."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "a", encoding="ascii") as stream:
        stream.write(line + "\n")
