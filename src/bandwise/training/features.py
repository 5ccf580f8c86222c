"""The features of a trained branch on a split: what a fusion head is trained on. One file a branch and split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bandwise.arrayfile import write_arrays
from bandwise.atomic import json_bytes, sha256_bytes
from bandwise.bands.algebra import flip_group
from bandwise.checkpoints.folder import weights_digest
from bandwise.checkpoints.penultimate import as_stored, logits_and_features
from bandwise.config import AugmentConfig, RunConfig
from bandwise.errors import BandwiseError, UsageError
from bandwise.evaluation.crops import center_box
from bandwise.store.augment import BandAugment
from bandwise.store.format import Store
from bandwise.store.loader import BatchStream
from bandwise.training.description import bands_of
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.infer import open_branch


def mirrors(config: RunConfig, store: Store, branch: int) -> bool:
    """Say whether a branch was trained on mirrored images and can mirror its stored bands exactly."""
    if not (config.augment.hflip and store.transform.invertible):
        return False
    return flip_group(store.transform, bands_of(config, branch), "horizontal") is not None


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
    cutter = center_cutter(store, bands, config.training.crop // config.split.stride)
    network = trained.network.to(device).eval()
    ids, labels, parts = [], [], []
    with reproducible(config.training, device), torch.inference_mode():
        for batch in BatchStream(store, bands, split, config.training.batch_size, cache="none").batches():
            ids.append(batch.ids)
            labels.append(batch.labels)
            views = cutter(batch.images.to(device), mirrored)
            parts.append(torch.stack([as_stored(logits_and_features(network, view)[1]).cpu() for view in views]))
    features = torch.cat(parts, dim=1).numpy()
    if not np.isfinite(features).all():
        raise BandwiseError(f"{folder} gives features on {split} that are not finite; train it again with a lower --lr")
    meta = {
        "branch": str(branch),
        "split": split,
        "views": str(len(features)),
        "store": store.digest,
        "weights": weights_digest(folder) or "",
        "classes": sha256_bytes(json_bytes(list(store.classes))),
    }
    arrays = {"ids": torch.cat(ids).numpy(), "labels": torch.cat(labels).numpy()}
    write_arrays(out, {**arrays, "features": features.astype(np.float16)}, meta)


def center_cutter(store: Store, bands: tuple[int, ...], crop: int) -> Callable[[Tensor, bool], list[Tensor]]:
    """Return a function of stored bands that gives the standardised centre crop and, if asked, its mirror image.

    Args:
        store: opened with at least these bands.
        bands: the group, in the order of the channels.
        crop: side of the crop in pixels of a band.
    """
    cut = BandAugment(
        AugmentConfig(hflip=0.0),
        transform=store.transform,
        bands=bands,
        channels=store.channels,
        side=store.side,
        crop_side=crop,
        mean=store.mean(bands),
        std=store.std(bands),
        seed=0,
    )
    top, left = center_box(store.side, crop)

    def views(images: Tensor, mirrored: bool) -> list[Tensor]:
        return [cut.standardise_box(images, top, left, flip) for flip in ((False, True) if mirrored else (False,))]

    return views
