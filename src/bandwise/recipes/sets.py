"""Recipe sets: the published ways to train, each a function from the configuration of a row to that of the same row.

A set changes training, augmentation and, for networks that have residual blocks, stochastic depth. It changes neither
the split nor the network. `--recipe-set NAME` applies one; flags given beside it override it.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bandwise.config import AugmentConfig, RunConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.recipes.recipe import changed


@dataclass(frozen=True, slots=True)
class RecipeSet:
    """One published way to train."""

    name: str
    summary: str
    sources: tuple[str, ...]
    """Where it was published, and where the values were checked, by name."""
    notes: tuple[str, ...]
    """How this differs from what was published."""
    change: Callable[[RunConfig], RunConfig]
    """The set itself, without what depends on the kind of network."""

    train_crop: int = 0
    """Side of the training crops in pixels where the test crop has 224; 0: they are not smaller than that."""

    def apply(self, config: RunConfig) -> RunConfig:
        """Return the configuration of the same row trained by this set, under a name that says so."""
        new = self.change(config)
        if is_plain(config):
            new = changed(new, network={"drop_path": 0.0})
        elif self.train_crop:
            new = changed(new, training={"train_crop": scaled_crop(self.train_crop, config)})
        # The published recipe of a row is the row itself.
        own = replace(new, name=config.name)
        return own if own == config else replace(new, name=f"{config.name}-{self.name}")

    def notes_for(self, config: RunConfig) -> tuple[str, ...]:
        """Return the notes that hold for one row."""
        notes = list(self.notes)
        if self.train_crop and is_plain(config):
            notes.append(
                f"{config.network.model} has linear layers sized to one input, so it trains at its crop of "
                f"{config.training.crop} px and not at a smaller one."
            )
        if self.change(config).network.drop_path and is_plain(config):
            notes.append(f"{config.network.model} has no residual blocks, so there is no stochastic depth.")
        return tuple(notes)


def is_plain(config: RunConfig) -> bool:
    """Whether the network takes only images of one size, and has no residual blocks for stochastic depth to leave out.

    Of a network of timm both are left to timm.
    """
    return config.network.model.startswith(("alexnet", "vgg", "fc"))


def scaled_crop(crop_of_224: int, config: RunConfig) -> int:
    """Return a training crop published for 224 px at the crop of this row, as a multiple of its stride.

    160 and 176 px of 224 become 240 and 264 px of 336.
    """
    stride = config.split.stride
    return max(1, round(crop_of_224 * config.training.crop / 224 / stride)) * stride


# Settings of the row and of the machine, which a set leaves as they are.
_KEPT = (
    "crop",
    "precision",
    "compile",
    "device",
    "threads",
    "loader_workers",
    "cache",
    "checkpoint_steps",
    "checkpoint_minutes",
    "keep_checkpoints",
    "seed",
)
_TORCHVISION_EPOCHS = 600
_TORCHVISION_BATCH = 1024
_TORCHVISION_EMA_STEPS = 32


def seed(config: RunConfig) -> RunConfig:
    """Return the recipe published with the rows: one for ImageNet-1K, another for ImageNet-21K."""
    common = {"epochs": 100, "opt": "momentum", "momentum": 0.9, "weight_decay": 1e-4}
    if config.data.source == "imagenet21k":
        values = {"batch_size": 512, "lr": 0.001, "sched": "step", "decay_epochs": 30, "decay_rate": 0.1}
    else:
        values = {"batch_size": 256, "lr": 0.01, "sched": "cosine", "min_lr": 1e-4}
    return _change(config, common | values, {}, drop_path=0.0)


def rsb_a1(config: RunConfig) -> RunConfig:
    """Return procedure A1."""
    return _rsb(config, {"epochs": 600, "weight_decay": 0.01, "smoothing": 0.1}, {"mixup": 0.2})


def rsb_a2(config: RunConfig) -> RunConfig:
    """Return procedure A2."""
    return _rsb(config, {"epochs": 300}, {})


def rsb_a3(config: RunConfig) -> RunConfig:
    """Return procedure A3."""
    values = {"epochs": 100, "lr": 8e-3, "warmup_lr": 8e-7}
    return _rsb(config, values, {"aa": "rand-m6-mstd0.5-inc1", "aug_repeats": 0}, drop_path=0.0)


def torchvision(config: RunConfig) -> RunConfig:
    """Return torchvision's new recipe."""
    # torchvision's train.py turns its decay per image-weighted step into one per update by this formula.
    decay = 1 - min(1.0, (1 - 0.99998) * _TORCHVISION_BATCH * _TORCHVISION_EMA_STEPS / _TORCHVISION_EPOCHS)
    values = {
        "epochs": _TORCHVISION_EPOCHS,
        "batch_size": _TORCHVISION_BATCH,
        "opt": "momentum",
        "momentum": 0.9,
        "lr": 0.5,
        "weight_decay": 2e-5,
        "sched": "cosine",
        "warmup_epochs": 5,
        "warmup_lr": 0.005,
        "smoothing": 0.1,
        "model_ema": True,
        "model_ema_decay": round(decay, 7),
        "model_ema_steps": _TORCHVISION_EMA_STEPS,
    }
    augment = {"aa": "trivialaugment", "mixup": 0.2, "cutmix": 1.0, "reprob": 0.1, "aug_repeats": 4}
    return _change(config, values, augment, drop_path=0.0)


def _rsb(config: RunConfig, training: dict[str, Any], augment: dict[str, Any], *, drop_path: float = 0.05) -> RunConfig:
    """Return procedure A2 with other values."""
    values = {
        "batch_size": 2048,
        "opt": "lamb",
        "lr": 5e-3,
        "weight_decay": 0.02,
        "sched": "cosine",
        "warmup_epochs": 5,
        "warmup_lr": 5e-7,
        "min_lr": 1e-6,
        "bce_loss": True,
        "bce_target_thresh": 0.2,
    }
    pictures = {
        "aa": "rand-m7-mstd0.5-inc1",
        "mixup": 0.1,
        "cutmix": 1.0,
        "aug_repeats": 3,
        "interpolation": "bicubic",
    }
    return _change(config, values | training, pictures | augment, drop_path=drop_path)


def _change(config: RunConfig, training: dict[str, Any], augment: dict[str, Any], *, drop_path: float) -> RunConfig:
    kept = {key: getattr(config.training, key) for key in _KEPT}
    return replace(
        config,
        training=TrainingConfig(**kept, **training),
        augment=AugmentConfig(at="image", **augment),
        network=replace(config.network, drop_path=drop_path),
    )


_RSB_PAPER = "published in Wightman, Touvron, Jegou: ResNet strikes back (2021)"
_RSB_CONFIGS = (
    "checked in mmpretrain, configs/resnet: resnet50_8xb256-rsb-a1-600e, -a2-300e, -a3-100e and their base files"
)
_RSB_SIZE = "checked in OpenMixup, resnet50_rsb_a3_sz160_8xb256_ep100 (160 px, LAMB, rate 0.008, weight decay 0.02)"
_RSB_TARGETS = "checked in the command line of ML-Decoder for A2 (threshold 0.2, bicubic, 3 repeats)"
_RSB_NOTES = (
    "The test crop was 0.95 of the image (224 of 236 px). A canvas of 256 px gives 0.875; --canvas 236 (354 for the "
    "rows of 36 bands) gives 0.95 and another store.",
    "The batch of 2,048 is an optimiser step of one branch; --grad-accum-steps divides it where memory is short.",
    "It was trained in mixed precision; here it is float32 unless --precision says otherwise.",
    "timm's LAMB limits the norm of all gradients to 1 by itself; the paper's table says that nothing is clipped.",
    "The rate at the start of warm-up and at the end is that of mmpretrain; the paper does not give it.",
)
_A1_NOTE = (
    "The paper smooths labels by 0.1 and sets the targets of all mixed classes to 1. Where targets are set to 0 and 1 "
    "by a threshold afterwards, the smoothing has no effect left; the paper does not say how the two were combined."
)

RECIPE_SETS: dict[str, RecipeSet] = {
    item.name: item
    for item in (
        RecipeSet(
            "seed",
            "the published recipe of these rows: SGD 0.9, lr 0.01, cosine to 0.0001, 100 epochs, batch 256; on "
            "ImageNet-21K lr 0.001 in steps of 30 epochs, batch 512",
            ("the published tables of the ImageNet rows (April 2023)",),
            (
                "The optimiser leaves norm and bias parameters out of weight decay; upstream's decayed them too.",
                "The augmentation was not published; random resized crop and horizontal flip are the defaults of the "
                "script that upstream's was made from.",
                "Several logs contradict this recipe (steps instead of cosine, 90 or 600 epochs, warm starts); each "
                "row lists what is known.",
            ),
            seed,
        ),
        RecipeSet(
            "rsb-a1",
            "ResNet strikes back, A1: LAMB, binary cross-entropy, 600 epochs, batch 2,048 (ResNet-50: 80.4 %)",
            (_RSB_PAPER, _RSB_CONFIGS),
            (*_RSB_NOTES, _A1_NOTE),
            rsb_a1,
        ),
        RecipeSet(
            "rsb-a2",
            "ResNet strikes back, A2: as A1 with 300 epochs (ResNet-50: 79.8 %)",
            (_RSB_PAPER, _RSB_CONFIGS, _RSB_TARGETS),
            _RSB_NOTES,
            rsb_a2,
        ),
        RecipeSet(
            "rsb-a3",
            "ResNet strikes back, A3: 100 epochs at 160 of 224 px, the affordable one (ResNet-50: 78.1 %)",
            (_RSB_PAPER, _RSB_CONFIGS, _RSB_SIZE),
            _RSB_NOTES,
            rsb_a3,
            train_crop=160,
        ),
        RecipeSet(
            "torchvision",
            "torchvision's new recipe: SGD 0.9, TrivialAugment, 600 epochs, batch 1,024 (ResNet-50: 80.86 %)",
            (
                "published in Vryniotis: How to train models using torchvision's latest primitives (PyTorch, 2021)",
                "checked in torchvision, references/classification: the command of ResNet-50, the defaults of train.py",
            ),
            (
                "It was tested on 224 of 232 px. A canvas of 256 px gives 0.875; --canvas 232 (348 for the rows of "
                "36 bands) gives 0.966 and another store.",
                "The batch of 1,024 was 128 on each of 8 GPUs; here it is a step of one branch, which "
                "--grad-accum-steps divides where memory is short.",
                "The moving average was 0.99998 an image-weighted step: with this batch, 32 steps between updates and "
                "600 epochs its own formula gives the decay of an update used here. It was reset during warm-up.",
                "Only norms were left out of weight decay; here biases are left out too.",
            ),
            torchvision,
            train_crop=176,
        ),
    )
}


def find_set(name: str) -> RecipeSet:
    """Return one recipe set.

    Raises:
        UsageError: there is none of that name; the nearest is suggested.
    """
    if name in RECIPE_SETS:
        return RECIPE_SETS[name]
    close = difflib.get_close_matches(name, RECIPE_SETS, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(f"there is no recipe set {name!r}; {hint}the sets are {', '.join(RECIPE_SETS)}")
