"""The answers of the branches to one set of samples, proved to belong together: their logits, and their features."""

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandwise.config import KeepLogits
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.evaluation.blocks import Logits, StoredLogits, hold
from bandwise.files.arrays import all_finite, drop_pages, open_arrays
from bandwise.runs.logits import LogitsFile, read_logits

SHARED_KEYS = ("split", "crops", "classes", "store")
"""What the logits files of one fusion must agree on: the split, the crops an image, the class list, the store."""

_FEATURES_META = ("branch", "split", "views", "store", "weights", "classes")
_SHARED_BY_FEATURES = ("split", "views", "store", "classes")


@dataclass(frozen=True, slots=True)
class BranchLogits:
    """The logits of n branches for the same N samples and K classes."""

    branches: tuple[int, ...]
    """The number of every branch, in the order of `logits`."""
    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,), in 0..K-1."""
    logits: Logits
    """(n, N, K), finite: an array, or what reads one some images at a time."""
    split: str
    """`train`, `holdout` or `val`."""
    crops: int = 1
    """Crops an image."""
    origin: str = "bands"
    """Where the pixels of the crops come from: `bands`, `source`, `store`, or several of them joined by `+`."""
    store: str = ""
    """Digest of the store that the samples are of."""
    keep: str = "full"
    """What of the logits is kept, as in `KeepLogits`: the least of all branches."""

    def __post_init__(self) -> None:
        assert len(self.logits.shape) == 3
        assert self.logits.shape[:2] == (len(self.branches), self.labels.size)
        assert self.ids.shape == self.labels.shape


def origin_of(meta: dict[str, str]) -> str:
    """Return where the pixels of a logits file come from; files of earlier versions had no other place than bands."""
    return meta.get("views", "bands")


def load_branches(paths: Iterable[Path]) -> BranchLogits:
    """Read the logits files of one or more branches, in the order given; no model and no store is needed.

    Files of another split, store, class list, sample, label or number of classes, or twice of one branch, are an
    `IncompatibleError` that names branch and difference.
    """
    return join_logits([(path, read_logits(path)) for path in paths])


def join_logits(files: Sequence[tuple[Path, LogitsFile]]) -> BranchLogits:
    """Join logits that were read from files, as `load_branches`."""
    if not files:
        raise UsageError("no logits to fuse: name at least one branch")
    first_path, first = files[0]
    numbers = [_branch(path, content) for path, content in files]
    for number, (path, content) in zip(numbers[1:], files[1:], strict=True):
        difference = _difference(first, content)
        if difference:
            raise IncompatibleError(
                f"branch {number} ({path}) does not fit branch {numbers[0]} ({first_path}): {difference}; "
                "fuse branches of the same split, store and classes"
            )
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        named = f"branch{'es' if len(twice) > 1 else ''} {', '.join(map(str, twice))}"
        raise IncompatibleError(f"two of the files hold {named}; name every branch once")
    classes = first.logits.shape[1]
    if first.labels.size == 0:
        raise UsageError(f"{first_path} holds no samples; a fusion needs some")
    if first.labels.min() < 0 or first.labels.max() >= classes:
        raise CorruptionError(f"{first_path}: a label lies outside 0 to {classes - 1}")
    return BranchLogits(
        branches=tuple(numbers),
        ids=first.ids.astype(np.int64),
        labels=first.labels.astype(np.int64),
        logits=hold(StoredLogits([content for _, content in files])),
        split=first.meta["split"],
        crops=int(first.meta["crops"]),
        origin="+".join(sorted({origin_of(content.meta) for _, content in files})),
        store=first.meta["store"],
        keep=max((content.keep for _, content in files), key=typing.get_args(KeepLogits).index),
    )


def _branch(path: Path, content: LogitsFile) -> int:
    missing = [key for key in ("branch", *SHARED_KEYS) if key not in content.meta]
    if missing:
        raise CorruptionError(f"{path} does not say its {', '.join(missing)}; write it again with `bandwise evaluate`")
    if not (content.meta["branch"].isdecimal() and content.meta["crops"].isdecimal()):
        raise CorruptionError(f"{path}: branch and crops must be numbers, not {content.meta['branch']!r}")
    return int(content.meta["branch"])


def _difference(first: LogitsFile, other: LogitsFile) -> str:
    """Say how two files differ in what they must share; an empty text when they do not."""
    for key in SHARED_KEYS:
        if first.meta[key] != other.meta[key]:
            return f"{key} is {other.meta[key]}, not {first.meta[key]}"
    if first.logits.shape[1] != other.logits.shape[1]:
        return f"it has {other.logits.shape[1]} classes, not {first.logits.shape[1]}"
    if not np.array_equal(first.ids, other.ids):
        alone = np.setxor1d(first.ids, other.ids)
        return f"the samples differ: {alone.size} ids stand in only one of them, for example {int(alone[0])}"
    if not np.array_equal(first.labels, other.labels):
        place = int(np.flatnonzero(first.labels != other.labels)[0])
        return f"sample {int(first.ids[place])} has label {int(other.labels[place])}, not {int(first.labels[place])}"
    return ""


@dataclass(frozen=True, slots=True)
class FeaturesFile:
    """The features of one branch on one split, in the order of the sample ids."""

    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,)."""
    features: NDArray[np.float16]
    """(V, N, D), finite; the first view is the centre crop."""
    meta: dict[str, str]
    """What they belong to: branch, split, views, store digest, class list hash, SHA-256 of the weights."""


@dataclass(frozen=True, slots=True)
class BranchFeatures:
    """The features of n branches for the same N samples, from V views of each."""

    branches: tuple[int, ...]
    """The number of every branch, in the order of `features`."""
    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,)."""
    features: tuple[NDArray[np.floating], ...]
    """One array (V, N, D_i) a branch, finite, mapped where read from a file; the first view is the centre crop."""
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

    def rows(self, rows: slice | NDArray[np.int64], views: int | NDArray[np.int64] = 0) -> list[NDArray[np.float32]]:
        """Return one view of each of some samples, float32 (rows, D_i) a branch."""
        found = [own[views, rows].astype(np.float32) for own in self.features]
        for own in self.features:
            drop_pages(own)
        return found


def read_features(path: Path) -> FeaturesFile:
    """Read the features of one branch; a damaged file, a repeated id or a number that is not finite is refused."""
    arrays, meta = open_arrays(path, ("features", "ids", "labels"))
    if set(meta) != set(_FEATURES_META) or not (meta["branch"].isdecimal() and meta["views"].isdecimal()):
        raise CorruptionError(
            f"{path} does not say its {', '.join(_FEATURES_META)}; remove it, and it is written again"
        )
    ids, labels, features = np.array(arrays["ids"]), np.array(arrays["labels"]), arrays["features"]
    if features.ndim != 3 or features.shape[:2] != (int(meta["views"]), ids.size) or labels.shape != ids.shape:
        raise CorruptionError(f"{path}: shapes {ids.shape}, {labels.shape}, {features.shape} do not belong together")
    if not all_finite(features.reshape(-1, features.shape[2])) or (np.diff(ids) <= 0).any():
        raise CorruptionError(f"{path}: a feature is not finite, or the sample ids do not increase")
    return FeaturesFile(ids, labels, features, meta)


def join_features(files: Sequence[tuple[Path, FeaturesFile]]) -> BranchFeatures:
    """Join the features of one or more branches, in the order given; refusals are those of `load_branches`."""
    if not files:
        raise UsageError("no features to fuse: name at least one branch")
    first_path, first = files[0]
    if first.ids.size == 0:
        raise UsageError(f"{first_path} holds no samples; a fusion head needs some")
    for path, own in files[1:]:
        for key in _SHARED_BY_FEATURES:
            if own.meta[key] != first.meta[key]:
                raise IncompatibleError(
                    f"{path} does not fit {first_path}: {key} is {own.meta[key]}, not {first.meta[key]}"
                )
        if not (np.array_equal(own.ids, first.ids) and np.array_equal(own.labels, first.labels)):
            raise IncompatibleError(f"{path} does not fit {first_path}: it holds other samples or labels")
    branches = tuple(int(own.meta["branch"]) for _, own in files)
    if len(set(branches)) != len(branches):
        raise IncompatibleError(f"the feature files are of the branches {list(branches)}; name every branch once")
    return BranchFeatures(
        branches=branches,
        ids=first.ids,
        labels=first.labels,
        features=tuple(own.features for _, own in files),
        split=first.meta["split"],
        weights=tuple(own.meta["weights"] for _, own in files),
    )
