"""Files that a record lists with size and SHA-256: the bytes that are checked are the ones that are used."""

import os
from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import CorruptionError
from bandwise.files.regular import open_regular, sha256_bytes


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
