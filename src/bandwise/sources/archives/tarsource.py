"""Pictures in tar archives, read one by one from where they lie; nothing is ever unpacked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bandwise.errors import IncompatibleError
from bandwise.sources.archives.pictureindex import load_index
from bandwise.sources.archives.tarheader import BLOCK, is_header
from bandwise.sources.listing import Listing
from bandwise.sources.reading import read_file


@dataclass(frozen=True, slots=True)
class TarSource:
    """A source whose pictures are members of tars. It holds names of files, no open files, so it is small to send.

    Attributes:
        root: the file or folder that was given.
        name: a short name.
        files: the archives, by the number that the index uses.
        classes: class names.
        index: file of the `PictureIndex`.
        fingerprint: what identifies the source.
        audit: counts for people, ready for JSON.
    """

    root: Path
    name: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    index: Path
    fingerprint: dict[str, Any]
    audit: dict[str, Any]

    @property
    def channels(self) -> Literal[1, 3]:
        """Three: grey pictures become RGB."""
        return 3

    def entries(self) -> Listing:
        """List every picture, sorted by name."""
        return load_index(self.index).listing()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture.

        Raises:
            IncompatibleError: the header before it is not what it was: the archive has changed.
            UsageError, OSError: as `reading.read_file`.
        """
        index = load_index(self.index)
        row = index.names.find(path)
        assert row is not None, path
        file, size = self.files[index.files[row]], int(index.sizes[row])
        content = read_file(os.fsencode(file), offset=int(index.offsets[row]) - BLOCK, count=BLOCK + size)
        if not is_header(content[:BLOCK], size):
            raise IncompatibleError(f"{file} has changed since it was indexed; start again")
        return content[BLOCK:]
