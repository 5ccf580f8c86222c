"""A source of as many tiny made-up pictures as wanted, listed by a mapped index as the pictures of an archive are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.sources.archives.index import IndexBuilder, load_index
from bandwise.sources.archives.index import write_index as write_picture_index
from bandwise.sources.columns import Names, pieces
from bandwise.sources.source import Listing

SIDE = 8
_PATTERN = b"train/n00000000/n00000000_0000000.JPEG"
_DIGITS = (slice(7, 15), slice(17, 25), slice(26, 33))


@dataclass(frozen=True, slots=True)
class SyntheticSource:
    """Pictures of random pixels that follow from their names."""

    index: Path
    class_count: int

    @property
    def root(self) -> Path:
        """The index is all that it reads."""
        return self.index

    @property
    def name(self) -> str:
        """What titles say."""
        return "synthetic"

    @property
    def classes(self) -> tuple[str, ...]:
        """Numbers."""
        return tuple(map(str, range(self.class_count)))

    @property
    def channels(self) -> Literal[1, 3]:
        """RGB."""
        return 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Nothing outside decides its pictures."""
        return {"kind": "synthetic"}

    def entries(self) -> Listing:
        """List them; the names lie in the mapped index."""
        return load_index(self.index).listing()

    def read(self, path: bytes) -> np.ndarray:
        """Return uint8 (8, 8, 3)."""
        content = b"".join(hashlib.sha256(b"%d " % part + path).digest() for part in range(6))
        return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE, 3)


def write_index(path: Path, count: int, classes: int) -> None:
    """Write the index of so many pictures, in equal classes."""
    builder = IndexBuilder()
    for here in pieces(count):
        numbers = np.arange(here.start, here.stop)
        labels = numbers * classes // count
        builder.add(_names(numbers, labels), label=labels, offset=numbers, size=SIDE * SIDE * 3)
    write_picture_index(path, builder.batch({}))


def _names(numbers: np.ndarray, labels: np.ndarray) -> Names:
    text = np.tile(np.frombuffer(_PATTERN, np.uint8), (len(numbers), 1))
    for place, values in zip(_DIGITS, (labels, labels, numbers), strict=True):
        width = place.stop - place.start
        for digit in range(width):
            text[:, place.start + digit] += (values // 10 ** (width - 1 - digit) % 10).astype(np.uint8)
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * len(_PATTERN)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.reshape(-1))]
    return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(numbers), buffers))
