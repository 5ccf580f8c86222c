"""The features of the branches, read from their files and proved to belong together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.arrays import read_arrays

_ARRAYS = ("features", "ids", "labels")
_META = ("branch", "split", "views", "store", "weights", "classes")
_SHARED = ("split", "views", "store", "classes")


@dataclass(frozen=True, slots=True)
class BranchFeatures:
    """The features of n branches for the same N samples, from V views of each."""

    branches: tuple[int, ...]
    """The number of every branch, in the order of `features`."""
    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,)."""
    features: tuple[NDArray[np.float32], ...]
    """One array (V, N, D_i) a branch, finite; the first view is the centre crop."""
    split: str
    """`train`, `holdout` or `val`."""
    weights: tuple[str, ...]
    """SHA-256 of the weights that made the features of every branch."""

    def __post_init__(self) -> None:
        assert len(self.features) == len(self.branches) == len(self.weights)
        assert len({array.shape[:2] for array in self.features}) == 1
        assert self.features[0].shape[1] == self.labels.size == self.ids.size

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features of every branch."""
        return tuple(array.shape[2] for array in self.features)

    @property
    def views(self) -> int:
        """Views of every sample."""
        return self.features[0].shape[0]


def load_features(paths: Iterable[Path]) -> BranchFeatures:
    """Read the feature files of one or more branches, in the order given; no model and no store is needed.

    Raises:
        UsageError: there is no file, or no sample in them.
        CorruptionError: a file is missing or damaged.
        IncompatibleError: two files have another split, store, class list, sample, label or number of views, or are the
            same branch.
    """
    found = [(path, *_read(path)) for path in paths]
    if not found:
        raise UsageError("no features to fuse: name at least one branch")
    first_path, first, facts = found[0]
    if first["ids"].size == 0:
        raise UsageError(f"{first_path} holds no samples; a fusion head needs some")
    for path, arrays, meta in found[1:]:
        for key in _SHARED:
            if meta[key] != facts[key]:
                raise IncompatibleError(f"{path} does not fit {first_path}: {key} is {meta[key]}, not {facts[key]}")
        if not (np.array_equal(arrays["ids"], first["ids"]) and np.array_equal(arrays["labels"], first["labels"])):
            raise IncompatibleError(f"{path} does not fit {first_path}: it holds other samples or labels")
    branches = tuple(int(meta["branch"]) for _, _, meta in found)
    if len(set(branches)) != len(branches):
        raise IncompatibleError(f"the feature files are of the branches {list(branches)}; name every branch once")
    return BranchFeatures(
        branches=branches,
        ids=first["ids"],
        labels=first["labels"],
        features=tuple(arrays["features"].astype(np.float32) for _, arrays, _ in found),
        split=facts["split"],
        weights=tuple(meta["weights"] for _, _, meta in found),
    )


def _read(path: Path) -> tuple[dict[str, NDArray], dict[str, str]]:
    arrays, meta = read_arrays(path, _ARRAYS)
    if set(meta) != set(_META) or not (meta["branch"].isdecimal() and meta["views"].isdecimal()):
        raise CorruptionError(f"{path} does not say its {', '.join(_META)}; remove it, and it is written again")
    ids, labels, features = arrays["ids"], arrays["labels"], arrays["features"]
    if features.ndim != 3 or features.shape[:2] != (int(meta["views"]), ids.size) or labels.shape != ids.shape:
        raise CorruptionError(f"{path}: shapes {ids.shape}, {labels.shape}, {features.shape} do not belong together")
    if not np.isfinite(features).all() or (np.diff(ids) <= 0).any():
        raise CorruptionError(f"{path}: a feature is not finite, or the sample ids do not increase")
    return arrays, meta
