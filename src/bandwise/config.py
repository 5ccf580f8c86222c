"""What an experiment is, as frozen dataclasses: `experiment = split + branches + network + recipe + fusion`.

Field names become flags (`batch_size` is `--batch-size`); the names follow timm where timm has one. A recipe is a
function that returns a `RunConfig`; recipes differ by `dataclasses.replace`.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from bandwise.errors import UsageError
from bandwise.groups import parse_bands, parse_branches

Transform = Literal["dct1d", "dct2d", "hadamard", "identity", "random", "refft"]
Codec = Literal["zstd", "webp"]
Storage = Literal["uint8", "float16"]
FusionRule = Literal["mean", "geometric", "learned", "greedy"]

MAX_STRIDE = 8


def _require(condition: bool, key: str, value: Any, allowed: str) -> None:
    if not condition:
        raise UsageError(f"{key} is {value!r}; it must be {allowed}")


def _require_number(key: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    fits = (low < value if open_low else low <= value) and value <= high and math.isfinite(value)
    edge = "above" if open_low else "at least"
    _require(fits, key, value, f"{edge} {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else ""))


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

    follow_symlinks: bool = False
    """Read pictures that links inside the folder name outside it."""


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
        _require_number("stride", self.stride, 1, MAX_STRIDE)
        if self.transform == "hadamard":
            _require(self.stride in (1, 2, 4, 8), "stride", self.stride, "1, 2, 4 or 8 with the hadamard transform")
        _require_number("canvas", self.canvas, self.stride, 4096)
        below, above = self.canvas // self.stride * self.stride, -(-self.canvas // self.stride) * self.stride
        _require(
            self.canvas % self.stride == 0,
            "canvas",
            self.canvas,
            f"a multiple of the stride {self.stride}, for example {below} or {above}",
        )
        _require_number("holdout", self.holdout, 0, 0.5)
        _require_number("holdout_min", self.holdout_min, 0)
        _require_number("background", self.background, 0, 255)
        _require_number("max_pixels", self.max_pixels, 1, 1_000_000_000)
        _require_number("split_seed", self.split_seed, 0)
        _require_number("transform_seed", self.transform_seed, 0)
        _require(
            self.group_size >= 0 and self.group_size % 256 == 0, "group_size", self.group_size, "a multiple of 256"
        )
        _require(
            not (self.storage == "float16" and self.codec == "webp"),
            "codec",
            self.codec,
            "zstd when storage is float16",
        )
        parse_bands(self.bands, self.stride**2)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Which network every branch is."""

    model: str = "resnet10"
    """A network of `bandwise.models.zoo`, or `timm:NAME`."""

    stem: Literal["stock", "dense"] = "stock"
    """ResNets only: stock is 7x7/2 and a pool (little memory); dense keeps the resolution of small inputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How one branch is trained."""

    crop: int = 224
    """Side in pixels of what the network sees, before the split; a multiple of the stride, at most the canvas."""

    epochs: int = 30
    """Passes over the training images."""

    batch_size: int = 32
    """Images a step; a smaller last batch is dropped."""

    opt: str = "sgd"
    """Optimiser, by timm's name."""

    lr: float = 0.05
    """Learning rate after warm-up."""

    momentum: float = 0.9
    """Momentum of the optimisers that have one."""

    weight_decay: float = 1e-4
    """Weight decay; norm and bias parameters are left out."""

    sched: Literal["cosine", "step", "none"] = "cosine"
    """Learning-rate schedule, updated every step."""

    decay_epochs: int = 30
    """Epochs between drops of the step schedule."""

    decay_rate: float = 0.1
    """Factor of a drop of the step schedule."""

    warmup_epochs: int = 0
    """Epochs of linear warm-up."""

    warmup_lr: float = 1e-5
    """Learning rate at the start of warm-up."""

    min_lr: float = 0.0
    """Learning rate at the end of the cosine schedule."""

    smoothing: float = 0.0
    """Label smoothing."""

    clip_grad: float = 0.0
    """Largest gradient norm; 0 does not clip."""

    model_ema: bool = False
    """Keep a moving average of the weights, and evaluate it."""

    model_ema_decay: float = 0.999
    """Decay of that average, a step."""

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning Fabric's precision; on a CPU bf16 is very slow."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""

    threads: int = 1
    """CPU threads of one branch; results are bit-identical only for the same number."""

    cache: Literal["auto", "ram", "none"] = "auto"
    """Whether the decoded records of a branch stay in memory; auto decides by their size."""

    checkpoint_steps: int = 200
    """Steps between checkpoints; one is also written at the end of every epoch."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay on disk."""

    seed: int = 0
    """Seed of the run; each branch derives its own streams from it."""

    def __post_init__(self) -> None:
        _require_number("crop", self.crop, 1)
        _require_number("epochs", self.epochs, 1)
        _require_number("batch_size", self.batch_size, 1)
        _require_number("lr", self.lr, 0, open_low=True)
        _require_number("momentum", self.momentum, 0, 1)
        _require_number("weight_decay", self.weight_decay, 0)
        _require_number("decay_epochs", self.decay_epochs, 1)
        _require_number("decay_rate", self.decay_rate, 0, 1)
        _require_number("warmup_epochs", self.warmup_epochs, 0)
        _require(self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, f"below epochs ({self.epochs})")
        _require_number("warmup_lr", self.warmup_lr, 0)
        _require_number("min_lr", self.min_lr, 0)
        _require_number("smoothing", self.smoothing, 0, 0.99)
        _require_number("clip_grad", self.clip_grad, 0)
        _require_number("model_ema_decay", self.model_ema_decay, 0, 1)
        _require_number("threads", self.threads, 1, 1024)
        _require_number("checkpoint_steps", self.checkpoint_steps, 1)
        _require_number("keep_checkpoints", self.keep_checkpoints, 2)
        _require_number("seed", self.seed, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Augmentation of stored bands; each operation equals the same operation on the whole image before the split."""

    random_crop: bool = True
    """Crop at a random multiple of the stride; the centre otherwise."""

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
        for key in ("hflip", "vflip", "reprob"):
            _require_number(key, getattr(self, key), 0, 1)
        for key in ("mixup", "cutmix"):
            _require_number(key, getattr(self, key), 0, 100)


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """How the branches' predictions become one; fitted on the holdout only."""

    rule: Annotated[FusionRule, tyro.conf.arg(name="fusion")] = "learned"
    """mean, geometric (weights p*(1-p)^rank), learned (convex weights and a temperature), or greedy."""

    p: Annotated[float, tyro.conf.arg(name="fusion-p")] = 0.3
    """Ratio of the geometric rule."""

    def __post_init__(self) -> None:
        _require_number("fusion-p", self.p, 0, 1, open_low=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One experiment; a baseline or a control is the same code with other values."""

    name: Annotated[str, tyro.conf.Suppress] = "custom"
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    branches: str = "each"
    """Band groups, one network each: `0;1;2;3`, `0;0,1;0,2`, `0,1,2,3`; `each` is one branch a stored band."""

    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    fusion: FusionConfig = FusionConfig()

    def __post_init__(self) -> None:
        crop, stride, canvas = self.training.crop, self.split.stride, self.split.canvas
        _require(
            crop % stride == 0 and crop <= canvas,
            "crop",
            crop,
            f"a multiple of the stride {stride} and at most the canvas {canvas}",
        )
        stored = parse_bands(self.split.bands, stride**2)
        for group in self.groups():
            missing = sorted(set(group) - set(stored))
            _require(
                not missing,
                "branches",
                self.branches,
                f"made of stored bands; {missing} are not in {self.split.bands!r}",
            )

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return the bands of every branch."""
        return parse_branches(self.branches, parse_bands(self.split.bands, self.split.stride**2), self.split.stride**2)


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)
