"""What makes two trainings of a branch the same, and what a store must have to be trained on at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.runs.run import FREE_TRAINING
from bandwise.sources.decoding.decode import UNIFORM
from bandwise.store.layout import SPLITS
from bandwise.store.reading.store import Store
from bandwise.training.determinism import seeds_of

_FREE_SPLIT = ("bands", "group_size")
# Compared by content, not by place: see `start.require_same_start`.
_FREE_NETWORK = ("initial_checkpoint",)


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch as it is trained: of which run, on which store, in which folder, on which device."""

    config: RunConfig
    number: int
    store: Store
    """Opened with the bands of the branch."""
    folder: Path
    device: torch.device

    @property
    def bands(self) -> tuple[int, ...]:
        """Its group, in the order of its input channels."""
        return bands_of(self.config, self.number)

    @property
    def seeds(self) -> dict[str, int]:
        """Every seed by its purpose."""
        return seeds_of(self.config.training.seed, self.number)


def bands_of(config: RunConfig, branch: int) -> tuple[int, ...]:
    """Return the bands of one branch; refuse one that does not exist."""
    groups = config.groups()
    if not 0 <= branch < len(groups):
        raise UsageError(f"branch is {branch}; this run has the branches 0 to {len(groups) - 1}")
    return groups[branch]


def describe_branch(config: RunConfig, branch: int) -> dict[str, Any]:
    """Return all of the configuration that one branch depends on, and nothing of the others, as plain JSON types."""
    bands = list(bands_of(config, branch))
    sections = to_dict(config.of_branch(branch))
    return {
        "branch": branch,
        "bands": bands,
        "config": {name: sections[name] for name in ("split", "network", "training", "augment")},
    }


def describe_store(store: Store, bands: tuple[int, ...]) -> dict[str, Any]:
    """Return what inference needs to know of a store as plain JSON types; mean and std are (len(bands), channels)."""
    return {
        "digest": store.digest,
        "classes": list(store.classes),
        "channels": store.channels,
        "side": store.side,
        "mean": store.mean(bands).tolist(),
        "std": store.std(bands).tolist(),
    }


def fingerprint(description: dict[str, Any]) -> str:
    """Return the SHA-256 of the part of a branch's description that must not change on resuming."""
    return sha256_bytes(json_bytes(_binding(description)))


def require_same_branch(saved: dict[str, Any], now: dict[str, Any], where: str) -> None:
    """Refuse to continue a branch under another configuration; the fields that differ are listed.

    The fields of `runs.FREE_TRAINING` and the place of the initial weights may change; nothing else may.
    """
    try:
        before = _binding(saved)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptionError(f"{where} has a checkpoint that does not describe a branch: {error}") from error
    if changed := differences(before, _binding(now)):
        raise IncompatibleError(
            f"{where} was trained with another configuration:\n  "
            + "\n  ".join(changed)
            + "\nuse the same values to continue it, or another --out"
        )


def require_same_store(saved: dict[str, Any], now: Store, where: str) -> None:
    """Refuse a store whose samples, classes or pixels are not those that the branch was trained on."""
    if not now.has_digest(saved["digest"]):
        raise IncompatibleError(
            f"{where} was trained on the store {saved['digest'][:16]}..., this one is {now.digest[:16]}...: other "
            "samples, classes or pixels; give the --store it was trained on, or another --out"
        )


def _binding(description: dict[str, Any]) -> dict[str, Any]:
    config = description["config"]
    free = {"training": FREE_TRAINING, "network": _FREE_NETWORK, "split": _FREE_SPLIT}
    kept = {
        section: {key: value for key, value in fields.items() if key not in free.get(section, ())}
        for section, fields in config.items()
    }
    return {"branch": description["branch"], "bands": description["bands"], **kept}


def check_store(store: Store, config: RunConfig) -> None:
    """Refuse a store with too few classes or training samples, a band that never varies, or labels outside the classes.

    The bands are those that the store was opened with.
    """
    classes, rows, batch = len(store.classes), store.rows("train"), config.training.batch_size
    if classes < 2:
        raise UsageError(f"{store.path} has {classes} class; a classifier needs at least 2: add another class folder")
    if rows < batch:
        raise UsageError(
            f"{store.path} has {rows} training samples, fewer than one batch of {batch}; "
            f"use --batch-size {max(rows, 1)} or less"
        )
    if empty := [band for band in store.bands if not store.std([band]).any()]:
        raise UsageError(
            f"{store.path}: all training samples are the same in band {', '.join(map(str, empty))}, so there is "
            "nothing to learn from it; look at the pictures, or leave the band out with --branches"
        )
    uniform, stored = store.manifest.notes.get(UNIFORM, 0), sum(store.rows(split) for split in SPLITS)
    if 2 * uniform > stored:
        raise UsageError(
            f"{store.path}: {uniform} of {stored} pictures have {UNIFORM}; look at them, and split them again elsewhere"
        )
    for split in ("train", "holdout"):
        labels = store.labels(split)
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise CorruptionError(
                f"{store.path}: labels of {split} run from {labels.min()} to {labels.max()}, "
                f"but there are {classes} classes; split again"
            )
