"""A trained branch, loaded strictly, and its logits on a split: every stored sample once, in the order of the ids."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import TrainedBranch, load_branch
from bandwise.checkpoints.folder import weights_digest
from bandwise.config import RunConfig
from bandwise.errors import BandwiseError, UsageError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.machine import keep_freed_memory
from bandwise.runs.run import LogitsFile, write_logits
from bandwise.store.reading.store import Store, open_store
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.identity import (
    bands_of,
    describe_branch,
    describe_store,
    require_same_branch,
    require_same_store,
)
from bandwise.evaluation.views import AUTO, CropsFrom, CropStream, CropViews, open_crops
from bandwise.training.determinism import choose_device, reproducible


def write_branch_logits(
    config: RunConfig,
    store_path: Path,
    folder: Path,
    branch: int,
    out: Path,
    *,
    split: str,
    crops: int = 1,
    crops_from: CropsFrom = AUTO,
) -> None:
    """Predict every stored sample of a split in float32 and write the logits atomically.

    Args:
        config: the run; must be the one that the branch was trained with.
        store_path: the store, which holds at least the bands of the branch.
        folder: the branch folder.
        branch: number of the branch in `config.branches`.
        out: file to write, read by `runs.read_logits`.
        split: `holdout` or `val` (`train` works too).
        crops: 1 is the centre crop. 10 is the four corners and the centre, each also mirrored; their logits are
            averaged, so that the result is again logits and the fusion rules apply to it unchanged.
        crops_from: where the pixels of the crops come from; the file says which it was.

    Raises:
        UsageError: there is no such split or it is empty, the branch is not finished, or the crops cannot come from
            where they are wanted.
        IncompatibleError: branch, configuration, store and source do not belong together.
        CorruptionError: checkpoint or store is damaged.
    """
    bands = bands_of(config, branch)
    trained, store = open_branch(config, store_path, folder, branch)
    if not store.rows(split):
        raise UsageError(f"{store_path} has no {split} samples")
    device = choose_device(config.training.device)
    opened = open_crops(
        store,
        bands,
        split,
        crop=config.training.crop // config.split.stride,
        crops=crops,
        batch_size=config.training.batch_size,
        device=device,
        wanted=crops_from,
    )
    with reproducible(config.training, device), keep_freed_memory():
        ids, labels, logits = predict_split(trained.network.to(device), opened.stream, opened.views)
    if not np.isfinite(logits).all():
        raise BandwiseError(f"{folder} gives logits on {split} that are not finite; train it again with a lower --lr")
    meta = {**answers_of(store, folder, branch, split), "crops": str(crops), "views": opened.origin}
    write_logits(out, LogitsFile(ids=ids, labels=labels, logits=logits, meta=meta))


def open_branch(config: RunConfig, store_path: Path, folder: Path, branch: int) -> tuple[TrainedBranch, Store]:
    """Load a trained branch and open its store, and check that both are those of the configuration.

    Raises:
        UsageError: the branch is not finished.
        IncompatibleError: branch, configuration and store do not belong together.
        CorruptionError: checkpoint or store is damaged.
    """
    bands = bands_of(config, branch)
    trained = load_branch(folder)
    require_same_branch(trained.state, describe_branch(config, branch), str(folder))
    store = open_store(store_path, bands)
    require_same_store(trained.state["store"], describe_store(store, bands), str(folder))
    return trained, store


def answers_of(store: Store, folder: Path, branch: int, split: str) -> dict[str, str]:
    """Return what the answers of a trained branch belong to, as a file of them says it."""
    return {
        "branch": str(branch),
        "split": split,
        "store": store.digest,
        "weights": weights_digest(folder) or "",
        "classes": sha256_bytes(json_bytes(list(store.classes))),
    }


def predict_split(
    network: nn.Module, stream: CropStream, views: CropViews, *, check: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict all samples of a stream in float32; none is padded, dropped or seen twice.

    Args:
        network: on the device of `views`; put in evaluation mode meanwhile.
        stream: a split that has samples.
        views: the crops whose logits are averaged.
        check: called after each batch; may raise to stop.

    Returns:
        ids int64 (N,), labels int64 (N,) and logits float32 (N, K), in the order of the ids.
    """
    return collect(network, stream, lambda images: _mean(network(view) for view in views(images)).float(), check=check)


def collect(
    network: nn.Module,
    stream: CropStream,
    answer: Callable[[Tensor], Tensor],
    *,
    check: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ask a network about all samples of a stream; none is padded, dropped or seen twice.

    Args:
        network: put in evaluation mode meanwhile.
        stream: a split that has samples.
        answer: from the images of a batch, as the stream gives them, to (B, ...) on any device.
        check: called after each batch; may raise to stop.

    Returns:
        ids int64 (N,), labels int64 (N,) and the answers (N, ...), in the order of the ids.
    """
    ids, labels, answers = [], [], []
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for batch in stream.batches():
            ids.append(batch.ids)
            labels.append(batch.labels)
            answers.append(answer(batch.images).cpu())
            check()
    network.train(was_training)
    return torch.cat(ids).numpy(), torch.cat(labels).numpy(), torch.cat(answers).numpy()


def _mean(parts: Iterator[Tensor]) -> Tensor:
    values = list(parts)
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)
