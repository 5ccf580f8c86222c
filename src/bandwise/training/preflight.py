"""What must hold before the first step, checked with clear words instead of a failure in the middle of an epoch."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bandwise.config import RunConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.store.format import Store


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


def check_batch_norm(network: nn.Module, batch_size: int) -> None:
    """Refuse batches of one image for a network that normalises over the batch.

    Raises:
        UsageError: there is a batch-norm layer and `batch_size` is 1.
    """
    if batch_size == 1 and any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        raise UsageError(
            f"batch_size is 1, and {type(network).__name__} has batch normalisation, which needs at least 2 images; "
            "use --batch-size 2 or more, or a network without it"
        )
