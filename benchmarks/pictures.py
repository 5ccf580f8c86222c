"""The pictures that benchmarks work on: photographs as they are, and the same as JPEGs of ImageNet's mean size."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.decoding.decode import decode, to_canvas
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.resolve import open_source

_MAX_PIXELS = 50_000_000
_CLASSES = 4
# ImageNet's validation photographs: on average 478 x 402 pixels and 107 KB. Grain brings sharp detail back that
# enlarging cannot, and with it the bytes that a decoder has to work through.
_LANDSCAPE = (500, 375)
_PORTRAIT_EVERY = 5
_QUALITY, _GRAIN = 92, 9.0
# As telephones and cameras write them: 2 to 3 MB.
_CAMERA, _CAMERA_QUALITY, _CAMERA_GRAIN = (4000, 3000), 90, 4.0


@dataclass(frozen=True, slots=True)
class Photograph:
    """One encoded picture and its label."""

    content: bytes
    label: int


def photographs(data: str, count: int) -> list[Photograph]:
    """Return `count` encoded pictures of a set, spread evenly over it; a small set gives some twice.

    Raises:
        UsageError: there is no such set, or its pictures are arrays and not files.
    """
    source = open_source(DataConfig(data=data))
    entries = list(source.entries())
    found = []
    for place in np.linspace(0, len(entries), count, endpoint=False).astype(int).tolist():
        content = source.read(entries[place].path)
        if not isinstance(content, bytes):
            raise UsageError(f"--data {data}: benchmarks need picture files, such as a folder of JPEGs or photos")
        found.append(Photograph(content, entries[place].label))
    return found


def imagenet_sized(pictures: Sequence[Photograph]) -> list[Photograph]:
    """Enlarge pictures to 500 x 375, every fifth to 375 x 500, add film grain, and encode them at quality 92.

    They are no ImageNet photographs, but cost a decoder and a resampler what these cost.
    """
    return _enlarged(pictures, _LANDSCAPE, _GRAIN, _QUALITY)


def camera_sized(pictures: Sequence[Photograph]) -> list[Photograph]:
    """Enlarge pictures to 4000 x 3000, every fifth to 3000 x 4000, with less grain for their bytes to be a camera's."""
    return _enlarged(pictures, _CAMERA, _CAMERA_GRAIN, _CAMERA_QUALITY)


def _enlarged(
    pictures: Sequence[Photograph], landscape: tuple[int, int], grain_levels: float, quality: int
) -> list[Photograph]:
    random = np.random.default_rng(0)
    made = []
    for place, picture in enumerate(pictures):
        width, height = landscape[::-1] if place % _PORTRAIT_EVERY == 0 else landscape
        whole = _decoded(picture)
        share = min(whole.width / width, whole.height / height)
        box = (0, 0, round(width * share), round(height * share))
        enlarged = np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC, box=box), np.float32)
        grain = random.normal(0, grain_levels, (height, width, 1)).astype(np.float32)
        pixels = (enlarged + grain).clip(0, 255).astype(np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
        made.append(Photograph(encoded.getvalue(), picture.label))
    return made


def canvases(pictures: Sequence[Photograph], side: int) -> list[np.ndarray]:
    """Decode and resize pictures to uint8 (side, side, 3)."""
    return [to_canvas(_decoded(picture), side) for picture in pictures]


def as_folder(pictures: Sequence[Photograph], root: Path) -> FolderSource:
    """Write pictures to four class folders, whatever their labels, and open them as a source.

    Every class has as many pictures as the others, so that a store of them needs no rare-class rules.
    """
    for place, picture in enumerate(pictures):
        folder = root / "train" / f"class{place % _CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place:05d}.jpg").write_bytes(_told_apart(picture.content, place))
    return open_folder(root)


def _told_apart(content: bytes, number: int) -> bytes:
    """Put a comment with a number into a JPEG, so that the same picture can stand in a set twice."""
    if not content.startswith(b"\xff\xd8"):
        return content
    comment = b"%08x" % number
    return b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]


def _decoded(picture: Photograph) -> Image.Image:
    image, _ = decode(picture.content, channels=3, background=255, exif="ignore", max_pixels=_MAX_PIXELS)
    assert isinstance(image, Image.Image)
    return image
