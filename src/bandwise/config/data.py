"""Where the images come from, and how they become bands."""

from dataclasses import dataclass
from typing import Literal

from bandwise.config.branches import parse_bands
from bandwise.config.checks import require, require_number

Transform = Literal["dct1d", "dct2d", "hadamard", "identity", "random", "refft"]
Codec = Literal["zstd", "webp"]
Storage = Literal["uint8", "float16"]

MAX_STRIDE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the images come from."""

    data: str = "photos"
    """A folder of class folders, archives or shards, or the name of a set (see `bandwise data list`)."""

    source: Literal["auto", "folder", "named", "imagenet1k", "imagenet21k", "parquet", "webdataset"] = "auto"
    """How to read `data`: a name first, then by what the folder holds, when left on auto."""

    expect: Literal["any", "ilsvrc2012", "fall11", "winter21"] = "any"
    """Refuse an ImageNet whose classes or pictures are not as many as those of this release."""

    reported: Literal["auto", "val", "test"] = "auto"
    """Which folder is the reported set; needed only where `val` and `test` both exist."""

    val_seed: int = 0
    """ImageNet-21K only: which 50 pictures of a class are its validation images."""

    follow_symlinks: bool = False
    """Read pictures that links inside the folder name outside it."""

    def __post_init__(self) -> None:
        require_number("val_seed", self.val_seed, 0)


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

    max_pixels: int = 50_000_000
    """A larger picture is skipped before it is decoded."""

    group_size: int = 0
    """Images in one file of one band, a multiple of 256; 0 chooses by the size of the set."""

    def __post_init__(self) -> None:
        require_number("stride", self.stride, 1, MAX_STRIDE)
        if self.transform == "hadamard":
            require(self.stride in (1, 2, 4, 8), "stride", self.stride, "1, 2, 4 or 8 with the hadamard transform")
        require_number("canvas", self.canvas, self.stride, 4096)
        below, above = self.canvas // self.stride * self.stride, -(-self.canvas // self.stride) * self.stride
        require(
            self.canvas % self.stride == 0,
            "canvas",
            self.canvas,
            f"a multiple of the stride {self.stride}, for example {below} or {above}",
        )
        require_number("holdout", self.holdout, 0, 0.5)
        require_number("holdout_min", self.holdout_min, 0)
        require_number("background", self.background, 0, 255)
        require_number("max_pixels", self.max_pixels, 1, 1_000_000_000)
        require_number("split_seed", self.split_seed, 0)
        require_number("transform_seed", self.transform_seed, 0)
        require(self.group_size >= 0 and self.group_size % 256 == 0, "group_size", self.group_size, "a multiple of 256")
        require(
            not (self.storage == "float16" and self.codec == "webp"),
            "codec",
            self.codec,
            "zstd when storage is float16",
        )
        parse_bands(self.bands, self.stride**2)
