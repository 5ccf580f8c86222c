"""Fit the fusion on the holdout, apply it to the reported set, and write one JSON with every figure and its cost."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bandwise.checkpoints.folder import weights_digest
from bandwise.config import to_dict
from bandwise.errors import UsageError
from bandwise.evaluation.bitset import pack
from bandwise.evaluation.metrics import Metrics, classification_metrics
from bandwise.files.arrays import read_arrays_meta
from bandwise.files.documents import read_document, write_document
from bandwise.files.regular import sha256_bytes
from bandwise.files.schema import plain
from bandwise.fusion.fit_head import TrainedHead
from bandwise.fusion.leave_one_out import leave_one_out
from bandwise.fusion.answers import BranchLogits, load_branches
from bandwise.fusion.rules import RULES, Fusion, fit
from bandwise.fusion.saved import HEAD_RULE, head_record, read_fusion, save_fusion
from bandwise.launch.cost import activation_bytes, branch_cost, total_cost
from bandwise.launch.head import score_head, train_head
from bandwise.launch.starts import require_own_starts
from bandwise.runs.documents import RESULTS_FORMAT, RESULTS_VERSION, read_summary
from bandwise.runs.provenance import environment
from bandwise.runs.run import RUN_NAME, Run
from bandwise.store.reading.store import Store, open_store
from bandwise.training.predict import write_branch_logits
from bandwise.evaluation.views import AUTO, CropsFrom


def ensure_logits(
    run: Run, split: str, crops: int, branches: tuple[int, ...], crops_from: CropsFrom = AUTO
) -> list[Path]:
    """Return the logits files of the branches; those not there, of other weights or of other views, are written.

    Raises:
        UsageError: a branch is not trained, or its crops cannot come from where they are wanted.
    """
    paths = []
    for branch in branches:
        path = run.logits_path(split, branch, crops)
        folder = run.branch_folder(branch)
        # A node may have sent its logits without its weights: then there is nothing to compare with.
        weights = weights_digest(folder)
        meta = read_arrays_meta(path) if path.exists() else None
        as_wanted = meta is not None and crops_from.origin in ("auto", _origin(meta))
        if meta is not None and weights is None and not as_wanted:
            raise UsageError(
                f"{path} was made from {_origin(meta)}, and the weights of branch {branch} are not here to make it "
                f"from {crops_from.origin}; leave --crops-from out"
            )
        if meta is None or not as_wanted or (weights is not None and meta.get("weights") != weights):
            write_branch_logits(
                run.config, run.store_path, folder, branch, path, split=split, crops=crops, crops_from=crops_from
            )
        paths.append(path)
    return paths


def _origin(meta: dict[str, str]) -> str:
    # Files of earlier versions do not say it: they had no other.
    return meta.get("views", "bands")


def trained_branches(run: Run, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the branches to fuse: the ones named, or all; a missing one is an error unless branches are named.

    Raises:
        UsageError: a branch of the run is not finished, or a named one does not exist.
    """
    every = tuple(range(len(run.groups)))
    chosen = every if wanted is None else wanted
    unknown = sorted(set(chosen) - set(every))
    if unknown:
        raise UsageError(f"branches {unknown} do not exist; {run.path} has 0 to {len(every) - 1}")
    missing = [branch for branch in chosen if not (run.branch_folder(branch) / "summary.json").exists()]
    if missing:
        raise UsageError(
            f"branches {missing} of {run.path} are not trained; run `bandwise train --out {run.path}`, "
            "or name the ones to fuse with --use"
        )
    return chosen


def fuse_run(
    run: Run,
    *,
    rule: str | None = None,
    crops: int = 1,
    crops_from: CropsFrom = AUTO,
    use: tuple[int, ...] | None = None,
) -> Fusion | TrainedHead:
    """Fit one fusion rule and write `fusion.json`: on the holdout logits, or for `head` on the training features.

    Raises:
        UsageError: there is no holdout, a branch is missing, or a head is asked for more than the centre crop.
        IncompatibleError: a branch started from other weights than those of the branch it names.
    """
    chosen = trained_branches(run, use)
    require_own_starts(run, chosen)
    rule = rule or run.config.fusion.rule
    if rule == HEAD_RULE:
        if crops != 1:
            raise UsageError(f"a fusion head works on the centre crop, not on {crops} crops; choose another rule")
        fusion: Fusion | TrainedHead = train_head(run, chosen)
    else:
        holdout = load_branches(ensure_logits(run, "holdout", crops, chosen, crops_from))
        fusion = fit(rule, holdout, p=run.config.fusion.p)
    save_fusion(run.fusion_path(crops), fusion)
    return fusion


def evaluate_run(run: Run, *, crops: int = 1, crops_from: CropsFrom = AUTO, with_head: bool = False) -> dict[str, Any]:
    """Score every branch and every fusion rule on the reported set and write `results.json`.

    The rule of `fusion.json` is the result; the others stand beside it for comparison. All are fitted on the holdout. A
    head, which takes the features of all training images, is among them where it is the result or `with_head` is set.

    Raises:
        UsageError: nothing is fused yet, or the store has no reported set.
        IncompatibleError: a branch started from other weights than those of the branch it names.
    """
    if with_head and crops != 1:
        raise UsageError(f"a fusion head works on the centre crop, not on {crops} crops; leave --head out")
    store = open_store(run.store_path)
    if not store.rows("val"):
        raise UsageError(f"{run.store_path} has no reported set; its source had neither val/ nor test/")
    path = run.fusion_path(crops)
    fusion = read_fusion(path) if path.exists() else fuse_run(run, crops=crops, crops_from=crops_from)
    chosen = tuple(fusion.branches)
    require_own_starts(run, chosen)
    holdout = load_branches(ensure_logits(run, "holdout", crops, chosen, crops_from))
    paths = ensure_logits(run, "val", crops, chosen, crops_from)
    reported = load_branches(paths)
    branches = [_branch_entry(run, store, branch, index, holdout, reported) for index, branch in enumerate(chosen)]
    rules = {name: _rule_entry(run, name, holdout, reported) for name in RULES}
    right = {}
    if isinstance(fusion, TrainedHead) or with_head:
        head = fusion if isinstance(fusion, TrainedHead) else train_head(run, chosen)
        rules[HEAD_RULE], right[HEAD_RULE] = score_head(run, head)
    if isinstance(fusion, Fusion):
        logits = fusion.apply(reported.logits)
        fused, record = _score(logits, reported.labels), fusion.to_dict()
        left_out = [dataclasses.asdict(value) for value in leave_one_out(fusion, reported)]
        right["fused"] = logits.argmax(axis=1) == reported.labels
    else:
        fused = {key: rules[HEAD_RULE][key] for key in Metrics.__annotations__}
        record, left_out = head_record(fusion), rules[HEAD_RULE]["leave_one_out"]
        right["fused"] = right[HEAD_RULE]
    results = {
        "format": RESULTS_FORMAT,
        "version": RESULTS_VERSION,
        "name": run.config.name,
        "config": to_dict(run.config),
        "environment": plain(environment()),
        "trained_at": read_document(run.path / RUN_NAME)["made_by"]["commit"],
        "data": _data_entry(store),
        "crops": crops,
        "views": "+".join(sorted({_origin(read_arrays_meta(path)) for path in paths})),
        "n_eval": len(reported.ids),
        "n_total": store.manifest["splits"]["val"]["samples"],
        "chance": float(np.bincount(reported.labels).max() / len(reported.labels)),
        "branches": branches,
        "fused": fused,
        "fusion": record,
        "rules": rules,
        "reference": _reference(branches),
        "leave_one_out": left_out,
        "answers": {
            "images": sha256_bytes(reported.ids.tobytes() + reported.labels.tobytes()),
            "right": {name: pack(values) for name, values in right.items()},
        },
        "cost": total_cost(run, store, branches),
    }
    write_document(run.results_path(crops), results)
    return results


def _score(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    return dict(classification_metrics(torch.from_numpy(logits), torch.from_numpy(labels)))


def _branch_entry(
    run: Run, store: Store, branch: int, index: int, holdout: BranchLogits, reported: BranchLogits
) -> dict[str, Any]:
    summary = read_summary(run.branch_folder(branch))
    size = {"channels": store.channels, "num_classes": len(store.classes)}
    cost = branch_cost(run.config, branch, **size)
    bands = run.groups[branch]
    return {
        "branch": branch,
        "bands": list(bands),
        "seed": run.config.training.seed,
        "from_scratch": summary.from_scratch,
        "initial_checkpoint": plain(summary.initial_checkpoint),
        **_score(reported.logits[index], reported.labels),
        "holdout": _score(holdout.logits[index], holdout.labels),
        "params": cost.params,
        "buffers": cost.buffers,
        "macs": cost.macs,
        "gmacs": cost.macs / 1e9,
        "activation_bytes_per_image": activation_bytes(run.config, branch, **size),
        "wall_s": summary.wall_s,
        "cpu_s": summary.cpu_s,
        "epochs": run.config.training.epochs,
        "store_bytes": sum(store.band_bytes(band) for band in bands),
        "energy": float((store.std(bands) ** 2).sum()),
    }


def _rule_entry(run: Run, name: str, holdout: BranchLogits, reported: BranchLogits) -> dict[str, Any]:
    fusion = fit(name, holdout, p=run.config.fusion.p)
    return {**_score(fusion.apply(reported.logits), reported.labels), **fusion.to_dict()}


def _reference(branches: list[dict[str, Any]]) -> dict[str, Any]:
    # The best branch is chosen on the holdout, like everything else; ties go to the first.
    best = max(branches, key=lambda entry: (entry["holdout"]["top1"], -entry["branch"]))
    return {
        "branch_0": {"branch": branches[0]["branch"], "top1": branches[0]["top1"]},
        "best_branch": {"branch": best["branch"], "top1": best["top1"], "chosen_on": "holdout"},
    }


def _data_entry(store: Store) -> dict[str, Any]:
    return {
        "name": store.manifest["source"]["name"],
        "digest": store.digest,
        "classes": list(store.classes),
        "n_train": store.rows("train"),
        "n_holdout": store.rows("holdout"),
        "skipped": len(store.manifest["bad"]),
    }
