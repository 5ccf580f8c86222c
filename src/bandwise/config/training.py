"""Which network every branch is, how it is trained, and how the predictions become one."""

import re
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated, Literal

import tyro

from bandwise.config.data import require, require_positive, require_range

FusionRule = Literal["mean", "geometric", "learned", "greedy", "head"]
KeepLogits = Literal["full", "float16", "top-64"]

TAKES_TOP_LOGITS = ("mean", "geometric", "head")
"""Rules that need no more than the largest logits: their weights depend on answers alone, or on no logits."""


_LARGEST = 1e30
"""Of a rate; weights are of float32, and torch refuses a factor that is beyond its range."""

_TIME = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(time: str) -> float:
    """Return the seconds of a time such as `6h`, `90m` or `1h30m`."""
    parts = _TIME.findall(time)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    whole = "".join(number + unit for number, unit in parts) == time
    require(whole and seconds > 0, "stop_after", time, "a time above 0 such as 6h, 90m or 1h30m")
    return seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Which network every branch is, or each of them."""

    model: str = "resnet10"
    """A network of `bandwise.models.zoo`, or `timm:NAME`; or one for every branch, with `;` between them."""

    stem: Literal["stock", "dense"] = "stock"
    """ResNets only: stock is 7x7/2 and a pool (little memory); dense keeps the resolution of small inputs."""

    drop_path: float = 0.0
    """Probability of skipping a residual block in training (stochastic depth), growing linearly over the blocks."""

    initial_checkpoint: Annotated[str, tyro.conf.arg(aliases=["--pretrained"])] = ""
    """Weights to start from: a .safetensors file, timm:NAME such as timm:resnet18.a1_in1k, or hf:OWNER/NAME[@REVISION];
    the results then say that the branch was not trained from scratch."""

    def __post_init__(self) -> None:
        require_range(self, 0, 0.9, "drop_path")
        require(
            self.initial_checkpoint == ""
            or self.initial_checkpoint.startswith(("timm:", "hf:"))
            or self.initial_checkpoint.endswith(".safetensors"),
            "initial_checkpoint",
            self.initial_checkpoint,
            "a .safetensors file (other formats can run code when they are loaded), timm:NAME or hf:OWNER/NAME",
        )

    def of(self, branch: int) -> "NetworkConfig":
        """Return the network of one branch."""
        models = self.model.split(";")
        return self if len(models) == 1 else replace(self, model=models[branch])


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How one branch is trained."""

    crop: int = 224
    """Side in pixels of what the network sees, before the split; a multiple of the stride, at most the canvas."""

    train_crop: int = 0
    """Side in pixels of the crops of training; 0 is `crop`. Only networks without a fixed input size take another."""

    epochs: int = 30
    """Passes over the training images."""

    batch_size: int = 32
    """Images an optimiser step; a smaller last batch is dropped."""

    grad_accum_steps: int = 1
    """Equal parts in which a step's images pass through the network, for less memory; a divisor of `batch_size`."""

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

    bce_loss: bool = False
    """Binary cross-entropy of every class in place of cross-entropy."""

    bce_target_thresh: float = 0.0
    """With `bce_loss`: a soft target above this counts as 1 and others as 0; 0 keeps the soft targets."""

    clip_grad: float = 0.0
    """Largest gradient norm; 0 does not clip."""

    model_ema: bool = False
    """Keep a moving average of the weights, and evaluate it."""

    model_ema_decay: float = 0.999
    """Decay of that average, an update."""

    model_ema_steps: int = 1
    """Optimiser steps between updates of that average."""

    precision: Literal["32-true", "bf16-mixed", "16-mixed", "auto"] = "32-true"
    """Lightning Fabric's precision; auto is bf16-mixed on an accelerator that has it, else 32-true."""

    compile: bool = False
    """Compile the network with `torch.compile` before its first step."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""

    threads: int = 1
    """CPU threads of one branch; results are bit-identical only for the same number."""

    loader_workers: int | None = None
    """Processes that decode and augment images (`augment.at` image), or 0: the training process does it. None is one
    for every core that this branch may use beside its threads."""

    cache: Literal["auto", "device", "ram", "none"] = "auto"
    """Where the decoded records of a branch stay: on the device, in memory, or nowhere; auto decides by their size."""

    checkpoint_steps: int = 200
    """Steps between checkpoints, where time does not count; one is also written at the end of every epoch."""

    checkpoint_minutes: float | None = None
    """Minutes between checkpoints, written meanwhile; with 0 steps count. None is 10 on an accelerator, else 0."""

    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay on disk."""

    class_weights: str = ""
    """How much each class counts in the loss: auto, in inverse proportion to its training images, or a YAML or JSON
    file of a number for every class. All images alike when left out."""

    sampling: Literal["each", "balanced"] = "each"
    """Training images of an epoch: each of them once, or balanced: as many of every class, those of a small class
    several times, each time augmented anew, and of a large class some."""

    stop_after: str = ""
    """Time for a branch, such as 6h or 90m: it trains the epochs that fit, up to `epochs`, by a schedule of so many."""

    patience: int = 0
    """End after so many epochs without a better top-1 accuracy on the holdout; 0 trains all epochs."""

    seed: int = 0
    """Seed of the run; each branch derives its own streams from it."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "crop", "epochs", "batch_size", "grad_accum_steps")
        require_range(self, 1, inf, "decay_epochs", "model_ema_steps", "checkpoint_steps")
        require_range(self, 2, inf, "keep_checkpoints")
        require_range(self, 0, inf, "train_crop", "seed", "warmup_epochs", "patience")
        if self.stop_after:
            seconds_of(self.stop_after)
        allowed = "each where class_weights weigh the classes: both would count the small ones twice"
        require(self.sampling == "each" or not self.class_weights, "sampling", self.sampling, allowed)
        require_range(self, 0, _LARGEST, "weight_decay", "clip_grad", "warmup_lr", "min_lr")
        require_range(self, 0, 1, "momentum", "decay_rate", "model_ema_decay")
        require_range(self, 0, 0.99, "smoothing", "bce_target_thresh")
        require_range(self, 1, 1024, "threads")
        if self.loader_workers is not None:
            require_range(self, 0, 1024, "loader_workers")
        require_positive(self.lr, _LARGEST, "lr")
        if self.checkpoint_minutes is not None:
            require_range(self, 0, _LARGEST, "checkpoint_minutes")
        parts, batch = self.grad_accum_steps, self.batch_size
        require(batch % parts == 0, "grad_accum_steps", parts, f"a divisor of batch_size ({batch})")
        require(self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, f"below epochs ({self.epochs})")


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """How the branches' predictions become one; fitted on the holdout only."""

    rule: Annotated[FusionRule, tyro.conf.arg(name="fusion")] = "learned"
    """mean, geometric (weights p*(1-p)^rank), learned (convex weights and a temperature), greedy, or head (a small
    network on the features of the branches, trained on the training images and stopped on the holdout)."""

    p: Annotated[float, tyro.conf.arg(name="fusion-p")] = 0.3
    """Ratio of the geometric rule."""

    keep_logits: KeepLogits = "full"
    """What of the logits is stored: full is float32, float16 half of it, top-64 the largest of every image, which
    mean, geometric and head take."""

    def __post_init__(self) -> None:
        require_positive(self.p, 1, "fusion-p")
        if self.keep_logits == "top-64":
            allowed = f"one of {', '.join(TAKES_TOP_LOGITS)} with keep_logits top-64; others need full or float16"
            require(self.rule in TAKES_TOP_LOGITS, "fusion", self.rule, allowed)
