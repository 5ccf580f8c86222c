"""The answers of a network to every stored sample of a split: its logits and, for a fusion head, its features."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import weights_digest
from bandwise.config import RunConfig
from bandwise.errors import BandwiseError, UsageError
from bandwise.evaluation.views import AUTO, CropsFrom, Samples, Views, open_views, why_no_mirror
from bandwise.files.arrays import writing_arrays
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.machine import keep_freed_memory
from bandwise.models.zoo import as_stored, logits_and_features
from bandwise.runs.logits import writing_logits
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
    device: str | None = None,
    batch_size: int | None = None,
) -> None:
    """Ask a trained branch about every stored sample of a split, in one pass, and write its answers atomically.

    - `logits` is the file to write for `runs.logits.read_logits`, in the order of the ids; what of them is kept says
      `keep_logits`. Of 10 crops, four corners and the centre, each also mirrored, they are the mean, so that the result
      is again logits and the fusion rules apply to it unchanged. The file says where the pixels of the crops come from.
    - `features` is the file for `fusion.answers.read_features`: float16 (views, N, D) of the centre crop and, where
      `mirrored`, of its mirror image.

    Device and images at a time are those of the training when None. No more than a batch of answers is in memory.
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
    on = choose_device(device or config.training.device)
    opened = open_views(
        store,
        bands,
        split,
        crop=config.training.crop // config.split.stride,
        crops=crops,
        batch_size=batch_size or config.training.batch_size,
        device=on,
        wanted=crops_from,
        mirrored=mirrored,
    )
    network = trained.network.to(on)
    meta = {
        "branch": str(branch),
        "split": split,
        "store": store.digest,
        "weights": weights_digest(folder) or "",
        "classes": sha256_bytes(json_bytes(list(store.classes))),
    }
    answers = predict_split if features is None else predict_with_features
    row, count = 0, store.rows(split)
    to_logits = to_features = None
    with ExitStack() as files, reproducible(config.training, on), keep_freed_memory():
        for ids, labels, *values in answers(network, opened.stream, opened.views):
            ids, labels, found, *seen = (each.numpy() for each in (ids, labels, *values))
            for name, given in zip(("logits", "features"), (found, *seen), strict=False):
                if not np.isfinite(given).all():
                    raise BandwiseError(
                        f"{folder} gives {name} on {split} that are not finite; train it again with a lower --lr"
                    )
            if logits is not None:
                if to_logits is None:
                    facts = {**meta, "crops": str(crops), "views": opened.origin}
                    kept = writing_logits(logits, count, found.shape[1], facts, config.fusion.keep_logits)
                    to_logits = files.enter_context(kept)
                to_logits.put(row, ids, labels, found)
            if features is not None:
                views, size = seen[0].shape[1:]
                if to_features is None:
                    kinds = {"ids": (np.int64, (count,)), "labels": (np.int64, (count,))}
                    kinds |= {"features": (np.float16, (views, count, size))}
                    to_features = files.enter_context(writing_arrays(features, kinds, {**meta, "views": str(views)}))
                to_features.put("ids", row, ids)
                to_features.put("labels", row, labels)
                for view in range(views):
                    to_features.put("features", view * count + row, seen[0][:, view])
            row += len(ids)


def mirrors(config: RunConfig, store: Store, branch: int) -> bool:
    """Say whether a branch was trained on mirrored images and can mirror its stored bands exactly."""
    return config.augment.hflip > 0 and why_no_mirror(store, bands_of(config, branch)) is None


def predict_split(
    network: nn.Module,
    stream: Samples,
    views: Views,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Tensor, ...]]:
    """Predict all samples of a stream in evaluation mode; none is padded, dropped or seen twice.

    The logits of all views are averaged. `check` is called after each batch, and may raise to stop. What is yielded,
    ids int64 (B,), labels int64 (B,) and logits float32 (B, K), on the CPU, is in the order of the ids.
    """

    def mean_logits(images: Tensor) -> tuple[Tensor]:
        values = [network(view) for view in views(images)]
        return ((values[0] if len(values) == 1 else torch.stack(values).mean(0)).float(),)

    return _answers(network, stream, mean_logits, check)


def predict_with_features(network: nn.Module, stream: Samples, views: Views) -> Iterator[tuple[Tensor, ...]]:
    """Yield ids, labels and logits as `predict_split`, of the first view, and the features float32 (B, views, D)."""

    def both(images: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [logits_and_features(network, view) for view in views(images)]
        return pairs[0][0].float(), torch.stack([as_stored(features) for _, features in pairs], dim=1)

    return _answers(network, stream, both, lambda: None)


def _answers(
    network: nn.Module,
    stream: Samples,
    answer: Callable[[Tensor], tuple[Tensor, ...]],
    check: Callable[[], None],
) -> Iterator[tuple[Tensor, ...]]:
    """Yield ids, labels and what `answer` gives for the images of each batch."""
    was_training = network.training
    network.eval()
    try:
        for batch in stream.batches():
            # Not around the loop: it would hold for whoever takes the batches.
            with torch.inference_mode():
                values = [each.cpu() for each in answer(batch.images)]
            yield batch.ids, batch.labels, *values
            check()
    finally:
        network.train(was_training)
