"""The values of the published recipes; `bandwise.recipes.sets` says where each was read and how ours differs.

Every function keeps the split, the network and what belongs to the machine (device, threads, checkpoints, seed), and
replaces everything else of training and augmentation, so that nothing of the former recipe is left over.
"""

from dataclasses import replace
from typing import Any

from bandwise.config import AugmentConfig, RunConfig, TrainingConfig

_OF_THE_MACHINE = (
    "crop",
    "precision",
    "device",
    "threads",
    "loader_workers",
    "cache",
    "checkpoint_steps",
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
    """Return procedure A3; its training crop is set by `RecipeSet.apply`."""
    values = {"epochs": 100, "lr": 8e-3, "warmup_lr": 8e-7}
    return _rsb(config, values, {"aa": "rand-m6-mstd0.5-inc1", "aug_repeats": 0}, drop_path=0.0)


def torchvision(config: RunConfig) -> RunConfig:
    """Return torchvision's new recipe; its training crop is set by `RecipeSet.apply`."""
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
    kept = {key: getattr(config.training, key) for key in _OF_THE_MACHINE}
    return replace(
        config,
        training=TrainingConfig(**kept, **training),
        augment=AugmentConfig(at="image", **augment),
        network=replace(config.network, drop_path=drop_path),
    )
