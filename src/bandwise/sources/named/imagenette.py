"""`imagenette2` and `imagewoof2`: ten classes each of ImageNet, unpacked from the publisher's archives as they are.

The publisher gives the size of each archive and the MD5 of its first mebibyte only. The MD5 of whole archives are those
of torchvision (Imagenette), and of catalyst and other loaders (Imagewoof), which agree; earlier archives under the same
names have others.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.named.fetch import Origin, RemoteFile, from_web
from bandwise.sources.named.unpack import WrongContentError, tar_files

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
        return (Origin(f"the official archive {file.address}", (file,), partial(_unpack, self)),)

    def open(self, folder: Path) -> FolderSource:
        """Return its pictures under the names of their classes."""
        source = open_folder(folder, "val", self.name)
        return replace(source, classes=tuple(self.classes[wordnet_id] for wordnet_id in source.classes))


def _unpack(archive: Archive, downloads: Path, folder: Path) -> None:
    """Write `train/ID/*.JPEG` and `val/ID/*.JPEG`; the bytes are those of the archive, and its lists are left out."""
    inside = re.compile(rf"{re.escape(archive.name)}/(train|val)/({'|'.join(archive.classes)})/([\w.-]+\.JPEG)")
    found: Counter[str] = Counter()
    for name, content in tar_files(downloads / f"{archive.name}.tgz", inside, _MAX_PICTURE_BYTES):
        split, wordnet_id, picture = name.split("/")[1:]
        path = folder / split / wordnet_id / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
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
