"""The fusion head of a run: writes the features of its branches where they are missing, trains the head, scores it."""

from typing import Any

import numpy as np
import torch

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import UsageError
from bandwise.evaluation.metrics import classification_metrics
from bandwise.files.arrays import read_arrays_meta
from bandwise.fusion.features import BranchFeatures, load_features
from bandwise.fusion.fit_head import TrainedHead, fit_head
from bandwise.fusion.saved import HEAD_RULE, head_record
from bandwise.fusion.temperature import negative_log_likelihood
from bandwise.runs.run import LogitsFile, Run, write_logits
from bandwise.store.reading.store import open_store
from bandwise.training.determinism import reproducible, seed_for
from bandwise.training.features import mirrors, write_branch_features


def ensure_features(run: Run, split: str, branches: tuple[int, ...]) -> BranchFeatures:
    """Return the features of the branches; files that are not there, or are of other weights, are written.

    Training images have their mirrored centre crop as a second view where every branch can mirror exactly.

    Raises:
        UsageError: a branch is not trained, has no features, or the split is empty.
    """
    store = open_store(run.store_path)
    mirrored = split == "train" and all(mirrors(run.config, store, branch) for branch in branches)
    paths = [run.features_path(split, branch) for branch in branches]
    for branch, path in zip(branches, paths, strict=True):
        folder = run.branch_folder(branch)
        wanted = {"weights": weights_digest(folder) or "", "views": "2" if mirrored else "1"}
        if not path.exists() or not wanted.items() <= read_arrays_meta(path).items():
            write_branch_features(run.config, run.store_path, folder, branch, path, split=split, mirrored=mirrored)
    return load_features(paths)


def train_head(run: Run, branches: tuple[int, ...]) -> TrainedHead:
    """Train the head of a run on the CPU; the same features and seed give the same bits.

    Raises:
        UsageError: there is no holdout to stop on, or a branch has no features.
    """
    store = open_store(run.store_path)
    if not store.rows("holdout"):
        raise UsageError(f"{run.store_path} has no holdout, on which a fusion head is stopped; split with --holdout")
    train, holdout = (ensure_features(run, split, branches) for split in ("train", "holdout"))
    seed = seed_for(run.config.training.seed, None, HEAD_RULE)
    with reproducible(run.config.training, torch.device("cpu")):
        return fit_head(train, holdout, classes=len(store.classes), seed=seed)


def score_head(run: Run, trained: TrainedHead) -> tuple[dict[str, Any], np.ndarray]:
    """Score a head on the reported set, with all branches and without each.

    The answers are left in `Run.head_logits_path` for the report.

    Returns:
        The entry of the results: scores, what the head is, `holdout` (its scores there, by which systems are chosen),
        `leave_one_out`, and `feature_bytes`, the bytes that the branch with most features sends for all splits; and
        (N,) whether it is right.
    """
    reported = ensure_features(run, "val", trained.branches)
    logits = trained.apply(reported)
    plain = (logits * trained.temperature).astype(np.float32)
    write_logits(run.head_logits_path, LogitsFile(reported.ids, reported.labels, plain, {"branch": HEAD_RULE}))
    sent = [
        sum(run.features_path(split, branch).stat().st_size for split in ("train", "holdout", "val"))
        for branch in trained.branches
    ]
    held_out = ensure_features(run, "holdout", trained.branches)
    entry = {
        **_scores(logits, reported.labels),
        **head_record(trained),
        "holdout": _scores(trained.apply(held_out), held_out.labels),
        "leave_one_out": leave_one_out(trained, reported),
        "feature_bytes": max(sent),
        "feature_bytes_total": sum(sent),
    }
    return entry, logits.argmax(axis=1) == reported.labels


def leave_one_out(trained: TrainedHead, data: BranchFeatures) -> list[dict[str, Any]]:
    """Score a head without each of its branches; gains are those of having the branch, as for the other rules."""
    top1, nll = _top1_and_nll(trained.apply(data), data)
    if len(trained.branches) == 1:
        return [{"branch": trained.branches[0], "top1": None, "top1_gain": None, "nll_gain": None}]
    entries = []
    for branch in trained.branches:
        without_top1, without_nll = _top1_and_nll(trained.apply(data, without=branch), data)
        gains = {"top1_gain": top1 - without_top1, "nll_gain": without_nll - nll}
        entries.append({"branch": branch, "top1": without_top1, **gains})
    return entries


def _scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return dict(classification_metrics(torch.from_numpy(logits), torch.from_numpy(labels)))


def _top1_and_nll(logits: np.ndarray, data: BranchFeatures) -> tuple[float, float]:
    return float((logits.argmax(axis=1) == data.labels).mean()), negative_log_likelihood(logits, data.labels)
