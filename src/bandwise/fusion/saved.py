"""A fitted fusion on disk: `fusion.json`, and for the rule `head` its weights in `head.safetensors` beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.arrays import read_arrays, write_arrays
from bandwise.files.documents import read_document, write_document
from bandwise.files.regular import sha256_file
from bandwise.fusion.combination import Fusion
from bandwise.fusion.fit_head import TrainedHead
from bandwise.fusion.head import HIDDEN, FusionHead

HEAD_RULE = "head"
HEAD_NAME = "head.safetensors"
_MOST_FEATURES = 1 << 20
_NUMBERS = ("classes", "hidden", "epochs", "n_train", "n_holdout", "views", "seed")
_LISTS = ("branches", "sizes", "branch_weights")


def head_record(trained: TrainedHead) -> dict[str, Any]:
    """Return everything of a head but its weights as plain JSON types."""
    return {
        "rule": HEAD_RULE,
        "branches": list(trained.branches),
        "sizes": list(trained.head.sizes),
        "classes": trained.head.classifier.out_features,
        "hidden": trained.head.hidden.out_features,
        "parameters": sum(parameter.numel() for parameter in trained.head.parameters()),
        "temperature": trained.temperature,
        "epochs": trained.epochs,
        "fitted_on": "train, stopped on holdout",
        "n_train": trained.n_train,
        "n_holdout": trained.n_holdout,
        "views": trained.views,
        "seed": trained.seed,
        "branch_weights": list(trained.weights),
    }


def save_fusion(path: Path, fusion: Fusion | TrainedHead) -> None:
    """Write `fusion.json`; a head's weights are written first, beside it.

    Raises:
        NoSpaceError: the disk is full.
    """
    if isinstance(fusion, Fusion):
        write_document(path, fusion.to_dict())
        return
    weights = path.with_name(HEAD_NAME)
    write_arrays(
        weights, {name: value.numpy() for name, value in fusion.head.state_dict().items()}, {"rule": HEAD_RULE}
    )
    write_document(path, head_record(fusion) | {"sha256": sha256_file(weights)})


def read_fusion(path: Path) -> Fusion | TrainedHead:
    """Read what `save_fusion` wrote, and check it.

    Raises:
        CorruptionError: a file is missing, damaged, or not the one that `fusion.json` names.
    """
    content = read_document(path)
    try:
        return _head(path, content) if content.get("rule") == HEAD_RULE else Fusion.from_dict(content)
    except (UsageError, KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error


def _head(path: Path, content: dict[str, Any]) -> TrainedHead:
    numbers = [content[key] for key in _NUMBERS] + content["branches"] + content["sizes"]
    if any(not isinstance(content[key], list) for key in _LISTS) or any(type(value) is not int for value in numbers):
        raise ValueError("a number of the head is no whole number")
    sizes, classes, temperature = content["sizes"], content["classes"], content["temperature"]
    possible = len(sizes) == len(content["branches"]) == len(content["branch_weights"]) and min(sizes) > 0
    if not possible or sum(sizes) > _MOST_FEATURES or classes < 2 or content["hidden"] != HIDDEN:
        raise ValueError(f"a head of {sizes} features for {classes} classes is not possible")
    if not (isinstance(temperature, float) and 0 < temperature < float("inf")):
        raise ValueError(f"temperature is {temperature!r}")
    with torch.random.fork_rng(devices=[]):
        head = FusionHead(sizes, classes)
    weights = path.with_name(HEAD_NAME)
    expected = head.state_dict()
    arrays, _ = read_arrays(weights, expected.keys())
    if sha256_file(weights) != content["sha256"]:
        raise CorruptionError(f"{weights} is not the head of {path.name}; run `bandwise fuse` again")
    for name, array in arrays.items():
        if array.shape != tuple(expected[name].shape) or array.dtype != np.float32 or not np.isfinite(array).all():
            raise CorruptionError(f"{weights}: {name} has the wrong shape or type, or is not finite")
    head.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return TrainedHead(
        head=head.eval().requires_grad_(False),
        branches=tuple(content["branches"]),
        temperature=temperature,
        epochs=content["epochs"],
        n_train=content["n_train"],
        n_holdout=content["n_holdout"],
        views=content["views"],
        seed=content["seed"],
        weights=tuple(content["branch_weights"]),
    )
