"""Where the images come from, how they become bands, and how they are augmented."""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any, Literal

import tyro

from bandwise.errors import UsageError

Transform = Literal["dct1d", "dct2d", "hadamard", "identity", "random", "refft"]
Codec = Literal["zstd", "webp"]
Storage = Literal["uint8", "float16"]

MAX_STRIDE = 8
MOST_CHANNELS = 64
"""Of an image."""


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Refuse a value unless the condition holds."""
    if not condition:
        raise UsageError(f"{key} is {value!r}; it must be {allowed}")


def require_range(section: Any, low: float, high: float, *keys: str) -> None:
    """Refuse fields of a section outside `low` to `high`, or that are not finite."""
    allowed = f"at least {low:g}" + (f" and at most {high:g}" if isfinite(high) else "")
    for key in keys:
        value = getattr(section, key)
        require(isfinite(value) and low <= value <= high, key, value, allowed)


def require_positive(value: float, high: float, key: str) -> None:
    """Refuse a number that is not above 0, above `high`, or not finite."""
    allowed = "above 0" + (f" and at most {high:g}" if isfinite(high) else "")
    require(isfinite(value) and 0 < value <= high, key, value, allowed)


def parse_bands(text: str, count: int) -> tuple[int, ...]:
    """Read a list of bands such as `all`, `0`, or `0,3-5`.

    Returns the bands in increasing order; each must be one of 0 to `count` - 1 and occur once.
    """
    if text == "all":
        return tuple(range(count))
    bands: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise UsageError(f"bands {text!r}: {part.strip()!r} is not a band; write for example 0,3-5 or all")
        low, high = int(first), int(last) if dash else int(first)
        if not low <= high < count:
            raise UsageError(f"bands {text!r}: {part.strip()!r} is outside 0 to {count - 1}")
        bands.extend(range(low, high + 1))
    if len(set(bands)) != len(bands):
        raise UsageError(f"bands {text!r}: a band stands twice")
    return tuple(sorted(bands))


def format_bands(bands: tuple[int, ...]) -> str:
    """Write increasing band numbers in the notation of `--bands`: (0, 3, 4, 5) is `0,3-5`."""
    parts: list[list[int]] = []
    for band in bands:
        if parts and band == parts[-1][-1] + 1:
            parts[-1].append(band)
        else:
            parts.append([band])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the images come from."""

    data: str = "photos"
    """A folder of class folders, archives or shards, or the name of a set (see `bandwise data list`)."""

    source: Literal["auto", "folder", "table", "named", "imagenet1k", "imagenet21k", "parquet", "webdataset"] = "auto"
    """How to read `data`: a name first, then by what the folder holds, when left on auto."""

    expect: Literal["any", "ilsvrc2012", "fall11", "winter21"] = "any"
    """Refuse an ImageNet whose classes or pictures are not as many as those of this release."""

    reported: Literal["auto", "val", "test", "none"] = "auto"
    """Which folder is the reported set; needed only where `val` and `test` both exist. With none a run trains and
    fuses, and is not scored."""

    val_seed: int = 0
    """ImageNet-21K only: which 50 pictures of a class are its validation images."""

    follow_symlinks: bool = False
    """Read pictures that links inside the folder name outside it."""

    labels: str = ""
    """A table of labels, one picture a row (.csv, .tsv, .jsonl); metadata.csv, metadata.jsonl and labels.csv in a
    folder without class folders are found."""

    name_column: str = ""
    """Column of that table with the file names; found out when left out."""

    image_column: str = ""
    """Column of Parquet shards with the pictures; likewise."""

    label_column: str = ""
    """Column with the labels, of a table or of Parquet shards; likewise."""

    split_column: str = ""
    """Column that says train, val or test; without one, folders called so count."""

    def __post_init__(self) -> None:
        require_range(self, 0, inf, "val_seed")
        if self.labels:
            require(self.source in ("auto", "table"), "source", self.source, "auto or table with a table of labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How an image becomes bands. Every field changes the bytes of a store."""

    stride: int = 2
    """Grid step s in pixels; there are s*s bands."""

    transform: Transform = "dct2d"
    """Transform across the s*s phases: dct1d is the paper's, dct2d is separable, identity keeps the phases."""

    transform_seed: int = 0
    """Seed of the `random` transform; others ignore it."""

    canvas: int = 256
    """Side in pixels to which an image is resized before the split; a multiple of the stride."""

    codec: Codec = "zstd"
    """How a record is stored: zstd is fastest to train from, webp is smaller."""

    storage: Storage = "uint8"
    """Type of a stored value: uint8 (rounded, never clipped) or float16 (zstd only)."""

    bands: str = "all"
    """Which bands to write, for example `0,3-5`."""

    holdout: float = 0.15
    """Share of the training images kept from training; fusion and every choice use only these."""

    holdout_min: int = 3
    """Least number of holdout images a class."""

    split_seed: int = 0
    """Seed of the holdout and of the order in which training images are stored."""

    background: int = 255
    """Grey level behind transparent pixels, 0 to 255."""

    exif: Literal["ignore", "transpose"] = "ignore"
    """Whether the orientation tag turns the picture; ignore is what torchvision does."""

    depth: int = 16
    """Bits that a grey picture of 16 bits uses, 8 to 16: 12 for most cameras and scanners; larger values are white."""

    max_pixels: int = 50_000_000
    """A larger picture is skipped before it is decoded."""

    draft: int = 0
    """Decode large JPEGs at a half, quarter or eighth of their size, the short side still at least this many times the
    canvas; 2 is near to what 0, the whole size, gives."""

    group_size: int = 0
    """Images in one file of one band, a multiple of 256; 0 chooses by the size of the set."""

    def __post_init__(self) -> None:
        require_range(self, 1, MAX_STRIDE, "stride")
        if self.transform == "hadamard":
            require(self.stride in (1, 2, 4, 8), "stride", self.stride, "1, 2, 4 or 8 with the hadamard transform")
        require_range(self, self.stride, 4096, "canvas")
        below, above = self.canvas // self.stride * self.stride, -(-self.canvas // self.stride) * self.stride
        require(
            self.canvas % self.stride == 0,
            "canvas",
            self.canvas,
            f"a multiple of the stride {self.stride}, for example {below} or {above}",
        )
        require_range(self, 0, 0.5, "holdout")
        require_range(self, 0, 255, "background")
        require_range(self, 8, 16, "depth")
        require_range(self, 0, 8, "draft")
        require_range(self, 1, 1_000_000_000, "max_pixels")
        require_range(self, 0, inf, "holdout_min", "split_seed", "transform_seed")
        require(self.group_size >= 0 and self.group_size % 256 == 0, "group_size", self.group_size, "a multiple of 256")
        require(
            not (self.storage == "float16" and self.codec == "webp"),
            "codec",
            self.codec,
            "zstd when storage is float16",
        )
        parse_bands(self.bands, self.stride**2)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Augmentation of stored bands, or of whole images that are split afterwards."""

    at: Annotated[Literal["band", "image"], tyro.conf.arg(name="augment-at")] = "band"
    """band: on stored records, each operation equal to the same one on the image before the split. image: reads the
    source, crops and augments at full resolution, then splits on the device; all branches see the same crop."""

    random_crop: bool = True
    """At the band: crop at a random multiple of the stride. At the image: a random resized crop. Off: the centre."""

    scale: float = 0.08
    """At the image: least share of its area in a random resized crop (timm's `--scale SCALE 1`)."""

    aa: str = ""
    """At the image: timm's name of an augmentation policy, for example rand-m7-mstd0.5-inc1, or trivialaugment."""

    color_jitter: float = 0.0
    """At the image: strength of random brightness, contrast and saturation."""

    interpolation: Literal["bilinear", "bicubic", "random"] = "bilinear"
    """At the image: how a random resized crop is resized."""

    aug_repeats: int = 0
    """At the image: copies of an image in an epoch, each augmented anew, among fewer images; 0 and 1 are off."""

    hflip: float = 0.5
    """Probability of a horizontal flip."""

    vflip: float = 0.0
    """Probability of a vertical flip."""

    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""

    cutmix: float = 0.0
    """Alpha of cutmix with boxes aligned to the stride; 0 is off."""

    reprob: float = 0.0
    """Probability of erasing a box aligned to the stride."""

    inexact_flip: bool = False
    """Mirror a stored band even where the result is not the band of the mirrored image (dct1d, random, lone phases)."""

    def __post_init__(self) -> None:
        if self.at == "band":
            only = {"scale": 0.08, "aa": "", "color_jitter": 0.0, "interpolation": "bilinear", "aug_repeats": 0}
            for key, unset in only.items():
                value = getattr(self, key)
                require(
                    value == unset, key, value, f"{unset!r} with augment.at band; give --augment-at image to use it"
                )
        require_positive(self.scale, 1, "scale")
        require_range(self, 0, 1, "color_jitter", "hflip", "vflip", "reprob")
        require_range(self, 0, 16, "aug_repeats")
        require_range(self, 0, 100, "mixup", "cutmix")
