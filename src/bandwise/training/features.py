"""The features of a trained branch on a split: what a fusion head is trained on. One file a branch and split."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandwise.config import RunConfig
from bandwise.errors import BandwiseError, UsageError
from bandwise.files.arrays import write_arrays
from bandwise.models.penultimate import as_stored, logits_and_features
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import Store
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.identity import bands_of
from bandwise.training.predict import answers_of, collect, open_branch
from bandwise.training.views import Views, why_no_mirror


def mirrors(config: RunConfig, store: Store, branch: int) -> bool:
    """Say whether a branch was trained on mirrored images and can mirror its stored bands exactly."""
    return config.augment.hflip > 0 and why_no_mirror(store, bands_of(config, branch)) is None


def write_branch_features(
    config: RunConfig, store_path: Path, folder: Path, branch: int, out: Path, *, split: str, mirrored: bool
) -> None:
    """Write the features of every sample of a split, float16 (views, N, D), in the order of the ids.

    Args:
        config: the run; must be the one that the branch was trained with.
        store_path: the store, which holds at least the bands of the branch.
        folder: the branch folder.
        branch: number of the branch in `config.branches`.
        out: file to write, read by `fusion.features.load_features`.
        split: `train`, `holdout` or `val`.
        mirrored: the mirrored centre crop is a second view.

    Raises:
        UsageError: there is no such split, the branch is not finished, it has no features, or its bands have no exact
            mirror image.
        IncompatibleError: branch, configuration and store do not belong together.
        CorruptionError: checkpoint or store is damaged.
    """
    trained, store = open_branch(config, store_path, folder, branch)
    if not store.rows(split):
        raise UsageError(f"{store_path} has no {split} samples")
    device = choose_device(config.training.device)
    bands = bands_of(config, branch)
    views = Views(store, bands, config.training.crop // config.split.stride, 1, device, mirrored=mirrored)
    stream = BatchStream(store, bands, split, config.training.batch_size, cache="none")
    network = trained.network.to(device)

    def features_of(images: Tensor) -> Tensor:
        return torch.stack([as_stored(logits_and_features(network, view)[1]) for view in views(images)], dim=1)

    with reproducible(config.training, device):
        ids, labels, features = collect(network, stream, features_of)
    if not np.isfinite(features).all():
        raise BandwiseError(f"{folder} gives features on {split} that are not finite; train it again with a lower --lr")
    by_view = features.swapaxes(0, 1).astype(np.float16)
    meta = {**answers_of(store, folder, branch, split), "views": str(len(by_view))}
    write_arrays(out, {"ids": ids, "labels": labels, "features": by_view}, meta)
