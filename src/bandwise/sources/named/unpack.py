"""Reads single files out of archives without ever writing what the archive says where it says."""

import gzip
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


class WrongContentError(Exception):
    """What was fetched is not what it should be."""


def tar_members(archive: str | Path | IO[bytes], wanted: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield the regular files of a compressed tar that are wanted, as they come.

    `wanted` has the name inside the archive (without a leading `./`) and the most bytes of each.
    """
    left = dict(wanted)
    for name, content in _files(archive, left.get):
        yield name, content
        del left[name]
        if not left:
            return
    raise WrongContentError(f"the archive lacks {', '.join(left)}")


def tar_files(archive: str | Path, wanted: re.Pattern[str], limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield the regular files of a compressed tar whose name is wanted, each once and of at most `limit` bytes."""
    seen: set[str] = set()

    def limit_of(name: str) -> int | None:
        if not wanted.fullmatch(name):
            return None
        if name in seen:
            raise WrongContentError(f"{name} stands in the archive twice")
        seen.add(name)
        return limit

    yield from _files(archive, limit_of)


def _files(archive: str | Path | IO[bytes], limit_of: Callable[[str], int | None]) -> Iterator[tuple[str, bytes]]:
    """Yield the files for whose name there is a limit of bytes."""
    try:
        opened = tarfile.open(archive) if isinstance(archive, str | Path) else tarfile.open(fileobj=archive)  # noqa: SIM115
        with opened as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if (limit := limit_of(name)) is None:
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or member.size > limit:
                    raise WrongContentError(f"{name} in the archive is no file of at most {limit} bytes")
                yield name, stream.read()
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise WrongContentError(f"the archive is damaged or of an unknown kind: {error}") from error


def deb_data(path: Path) -> IO[bytes]:
    """Return the tar of the files that a Debian package installs, still compressed."""
    content = path.read_bytes()
    position = len(_AR_MAGIC)
    if content.startswith(_AR_MAGIC):
        while position + _AR_HEADER <= len(content):
            header = content[position : position + _AR_HEADER]
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58]
            if not size.strip().isdigit():
                break
            start = position + _AR_HEADER
            if name.startswith("data.tar"):
                return io.BytesIO(content[start : start + int(size)])
            # Members begin at even offsets.
            position = start + int(size) + int(size) % 2
    raise WrongContentError(f"{path.name} is no Debian package with a data archive")


def gunzip(content: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            plain = stream.read(limit + 1)
    except (OSError, EOFError) as error:
        raise WrongContentError(f"damaged gzip file: {error}") from error
    if len(plain) > limit:
        raise WrongContentError(f"a gzip file holds more than the {limit} bytes expected")
    return plain


def require_md5(name: str, content: bytes, expected: str) -> None:
    """Check one file against the MD5 that its publisher gives."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise WrongContentError(f"{name} has MD5 {found}, expected {expected}")
