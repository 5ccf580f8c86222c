"""Sets that are arrays in a few files: CIFAR-10 in its binary form, and MNIST-style IDX files.

The official files stay as they are, and a picture is read from its place in them: a set that was fetched years ago, or
lies on a disk that is read-only here, needs no conversion, and a storage that fails is an error, not a killed process
as it would be with mapped files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.errors import CorruptionError
from bandwise.sources.reading import read_file
from bandwise.sources.source import Entry, Split

_CIFAR_SIDE = 32
_CIFAR_PIXELS = 3 * _CIFAR_SIDE * _CIFAR_SIDE
_CIFAR_RECORD = 1 + _CIFAR_PIXELS
_CIFAR_PARTS: dict[str, Split] = {
    **{f"data_batch_{number}": "train" for number in range(1, 6)},
    "test_batch": "val",
}
_IDX_PARTS: dict[str, Split] = {"train": "train", "t10k": "val"}
_IDX_IMAGES_HEADER = 16
_IDX_LABELS_HEADER = 8


@dataclass(frozen=True, slots=True)
class CifarSource:
    """CIFAR-10 as in `cifar-10-batches-bin`: records of one label byte and three planes of 32x32 pixels.

    Image 42 of the first file is called `data_batch_1/00042`.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    channels: Literal[1, 3] = 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The name suffices: every file of a named set was checked when it was fetched."""
        return {"kind": "cifar", "name": self.name}

    def entries(self) -> list[Entry]:
        """List the 60,000 images."""
        entries = []
        for part, split in _CIFAR_PARTS.items():
            path = self.root / f"{part}.bin"
            content = _whole(path)
            if len(content) % _CIFAR_RECORD:
                raise CorruptionError(f"{path} has {len(content)} bytes, no multiple of {_CIFAR_RECORD}")
            entries += _entries(path, part, split, content[::_CIFAR_RECORD], len(self.classes), _CIFAR_PIXELS)
        return entries

    def read(self, path: bytes) -> np.ndarray:
        """Return the pixels of one image, uint8 `(32, 32, 3)`."""
        part, index = _part_and_index(path)
        encoded = read_file(bytes(self.root / f"{part}.bin"), offset=index * _CIFAR_RECORD + 1, count=_CIFAR_PIXELS)
        planes = np.frombuffer(encoded, np.uint8).reshape(3, _CIFAR_SIDE, _CIFAR_SIDE)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class IdxSource:
    """Grey pictures in the IDX files of MNIST, not compressed; image 42 for training is called `train/00042`."""

    root: Path
    name: str
    classes: tuple[str, ...]
    side: int = 28
    channels: Literal[1, 3] = 1

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The name suffices: every file of a named set was checked when it was fetched."""
        return {"kind": "idx", "name": self.name}

    def entries(self) -> list[Entry]:
        """List all images."""
        entries = []
        for part, split in _IDX_PARTS.items():
            path = self.root / f"{part}-labels-idx1-ubyte"
            content = _whole(path)
            count = len(content) - _IDX_LABELS_HEADER
            if content[:_IDX_LABELS_HEADER] != _idx_header(0x801, count):
                raise CorruptionError(f"{path} is no IDX file of {count} labels; remove {self.root} and fetch it again")
            self._require_images(part, count)
            entries += _entries(path, part, split, content[_IDX_LABELS_HEADER:], len(self.classes), self.side**2)
        return entries

    def read(self, path: bytes) -> np.ndarray:
        """Return the pixels of one image, uint8 `(side, side, 1)`."""
        part, index = _part_and_index(path)
        offset = _IDX_IMAGES_HEADER + index * self.side**2
        encoded = read_file(bytes(self._images(part)), offset=offset, count=self.side**2)
        return np.frombuffer(encoded, np.uint8).reshape(self.side, self.side, 1)

    def _images(self, part: str) -> Path:
        return self.root / f"{part}-images-idx3-ubyte"

    def _require_images(self, part: str, count: int) -> None:
        path = self._images(part)
        expected = _idx_header(0x803, count, self.side, self.side)
        if (
            not path.is_file()
            or path.stat().st_size != _IDX_IMAGES_HEADER + count * self.side**2
            or read_file(bytes(path), count=_IDX_IMAGES_HEADER) != expected
        ):
            raise CorruptionError(
                f"{path} is no IDX file of {count} pictures of {self.side}x{self.side}; "
                f"remove {self.root} and fetch it again"
            )


def _idx_header(magic: int, *sizes: int) -> bytes:
    return b"".join(number.to_bytes(4) for number in (magic, *sizes))


def _whole(path: Path) -> bytes:
    if not path.is_file():
        raise CorruptionError(f"{path} is missing; remove {path.parent} and fetch it again")
    return read_file(bytes(path))


def _part_and_index(path: bytes) -> tuple[str, int]:
    part, _, index = path.decode("ascii").rpartition("/")
    return part, int(index)


def _entries(path: Path, part: str, split: Split, labels: bytes, classes: int, size: int) -> list[Entry]:
    if labels and max(labels) >= classes:
        raise CorruptionError(f"{path} has the label {max(labels)}; there are {classes} classes")
    return [Entry(f"{part}/{index:05d}".encode(), label, size, split) for index, label in enumerate(labels)]
