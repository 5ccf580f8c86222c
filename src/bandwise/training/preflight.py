"""What must hold before the first step, checked with clear words instead of a failure in the middle of an epoch."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bandwise.config import RunConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.store.reading.store import Store


def check_store(store: Store, config: RunConfig) -> None:
    """Refuse a store that cannot be trained on with this configuration.

    Raises:
        UsageError: fewer than two classes, or fewer training samples than one batch needs.
        CorruptionError: a label is outside the classes.
    """
    classes, rows, batch = len(store.classes), store.rows("train"), config.training.batch_size
    if classes < 2:
        raise UsageError(f"{store.path} has {classes} class; a classifier needs at least 2: add another class folder")
    if rows < batch:
        raise UsageError(
            f"{store.path} has {rows} training samples, fewer than one batch of {batch}; "
            f"use --batch-size {max(rows, 1)} or less"
        )
    for split in ("train", "holdout"):
        labels = store.labels(split)
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise CorruptionError(
                f"{store.path}: labels of {split} run from {labels.min()} to {labels.max()}, "
                f"but there are {classes} classes; split again"
            )


def check_network(network: nn.Module, config: RunConfig, in_channels: int) -> None:
    """Refuse a network that cannot be trained on the parts and crops of this configuration.

    Args:
        network: in training mode, which it keeps.
        config: the run.
        in_channels: channels of an image of the branch.

    Raises:
        UsageError: batches of one image for a network that normalises over the batch, or crops of training of another
            size than the network takes.
    """
    training = config.training
    _check_batch_norm(network, training.batch_size, training.batch_size // training.grad_accum_steps)
    if training.train_crop in (0, training.crop):
        return
    weight = next(network.parameters())
    side = training.train_crop // config.split.stride
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, in_channels, side, side, device=weight.device))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise UsageError(
            f"train_crop is {training.train_crop}, and {config.network.model} takes only images of the size it was "
            f"built for, crop {training.crop}: {str(error).partition(chr(10))[0]}; leave train_crop out, or use a "
            "network that takes any size, such as a ResNet"
        ) from error
    finally:
        network.train()


def _check_batch_norm(network: nn.Module, batch_size: int, part: int) -> None:
    if part == 1 and any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        raise UsageError(
            f"batch_size is {batch_size}, and {type(network).__name__} has batch normalisation, which needs at least "
            "2 images; use --batch-size 2 or more (for each of the --grad-accum-steps), or a network without it"
        )
