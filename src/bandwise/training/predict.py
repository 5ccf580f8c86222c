"""The answers of a network to every stored sample of a split: its logits and, for a fusion head, its features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import weights_digest
from bandwise.config import RunConfig
from bandwise.errors import BandwiseError, UsageError
from bandwise.evaluation.views import AUTO, CropsFrom, Samples, Views, open_views, why_no_mirror
from bandwise.files.arrays import write_arrays
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.machine import keep_freed_memory
from bandwise.models.zoo import as_stored, logits_and_features
from bandwise.runs.run import LogitsFile, write_logits
from bandwise.store.reading.store import Store, open_store
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.identity import (
    bands_of,
    describe_branch,
    require_same_branch,
    require_same_store,
)


def write_answers(
    config: RunConfig,
    store_path: Path,
    folder: Path,
    branch: int,
    *,
    split: str,
    logits: Path | None = None,
    features: Path | None = None,
    crops: int = 1,
    crops_from: CropsFrom = AUTO,
    mirrored: bool = False,
) -> None:
    """Ask a trained branch about every stored sample of a split, in one pass, and write its answers atomically.

    - `logits` is the file to write for `runs.read_logits`: float32 (N, K), in the order of the ids. Of 10 crops, four
      corners and the centre, each also mirrored, they are the mean, so that the result is again logits and the fusion
      rules apply to it unchanged. The file says where the pixels of the crops come from.
    - `features` is the file for `fusion.answers.read_features`: float16 (views, N, D) of the centre crop and, where
      `mirrored`, of its mirror image.

    Branch, configuration, store and source must belong together, the branch must be finished, and the split not empty.
    """
    bands = bands_of(config, branch)
    trained = load_branch(folder)
    require_same_branch(trained.state, describe_branch(config, branch), str(folder))
    store = open_store(store_path, bands)
    require_same_store(trained.state["store"], store, str(folder))
    if not store.rows(split):
        raise UsageError(f"{store_path} has no {split} samples")
    assert features is None or crops == 1
    device = choose_device(config.training.device)
    opened = open_views(
        store,
        bands,
        split,
        crop=config.training.crop // config.split.stride,
        crops=crops,
        batch_size=config.training.batch_size,
        device=device,
        wanted=crops_from,
        mirrored=mirrored,
    )
    network = trained.network.to(device)
    with reproducible(config.training, device), keep_freed_memory():
        if features is None:
            ids, labels, found = predict_split(network, opened.stream, opened.views)
            seen = None
        else:
            ids, labels, found, seen = predict_with_features(network, opened.stream, opened.views)
    for name, values in (("logits", found), ("features", seen)):
        if values is not None and not np.isfinite(values).all():
            raise BandwiseError(
                f"{folder} gives {name} on {split} that are not finite; train it again with a lower --lr"
            )
    meta = {
        "branch": str(branch),
        "split": split,
        "store": store.digest,
        "weights": weights_digest(folder) or "",
        "classes": sha256_bytes(json_bytes(list(store.classes))),
    }
    if features is not None and seen is not None:
        by_view = seen.swapaxes(0, 1).astype(np.float16)
        arrays = {"ids": ids, "labels": labels, "features": by_view}
        write_arrays(features, arrays, {**meta, "views": str(len(by_view))})
    if logits is not None:
        write_logits(logits, LogitsFile(ids, labels, found, {**meta, "crops": str(crops), "views": opened.origin}))


def mirrors(config: RunConfig, store: Store, branch: int) -> bool:
    """Say whether a branch was trained on mirrored images and can mirror its stored bands exactly."""
    return config.augment.hflip > 0 and why_no_mirror(store, bands_of(config, branch)) is None


def predict_split(
    network: nn.Module,
    stream: Samples,
    views: Views,
    *,
    check: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict all samples of a stream in evaluation mode; none is padded, dropped or seen twice.

    The logits of all views are averaged. `check` is called after each batch, and may raise to stop. What is returned,
    ids int64 (N,), labels int64 (N,) and logits float32 (N, K), is in the order of the ids.
    """

    def mean_logits(images: Tensor) -> tuple[Tensor]:
        values = [network(view) for view in views(images)]
        return ((values[0] if len(values) == 1 else torch.stack(values).mean(0)).float(),)

    ids, labels, logits = _collect(network, stream, mean_logits, check)
    return ids, labels, logits


def predict_with_features(
    network: nn.Module, stream: Samples, views: Views
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, labels and logits as `predict_split`, of the first view, and the features float32 (N, views, D)."""

    def both(images: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [logits_and_features(network, view) for view in views(images)]
        return pairs[0][0].float(), torch.stack([as_stored(features) for _, features in pairs], dim=1)

    ids, labels, logits, features = _collect(network, stream, both, lambda: None)
    return ids, labels, logits, features


def _collect(
    network: nn.Module,
    stream: Samples,
    answer: Callable[[Tensor], tuple[Tensor, ...]],
    check: Callable[[], None],
) -> list[np.ndarray]:
    """Return ids, labels and what `answer` gives for the images of each batch, joined along the samples."""
    batches: list[tuple[Tensor, ...]] = []
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for batch in stream.batches():
            batches.append((batch.ids, batch.labels, *(values.cpu() for values in answer(batch.images))))
            check()
    network.train(was_training)
    return [torch.cat(values).numpy() for values in zip(*batches, strict=True)]
