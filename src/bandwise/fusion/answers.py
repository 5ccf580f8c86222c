"""The predictions of the branches, read from their files and proved to belong together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.runs.run import LogitsFile, read_logits

SHARED_KEYS = ("split", "crops", "classes", "store")
"""What the files of one fusion must agree on: the split, the crops an image, the class list, the store."""


@dataclass(frozen=True, slots=True)
class BranchLogits:
    """The logits of n branches for the same N samples and K classes."""

    branches: tuple[int, ...]
    """The number of every branch, in the order of `logits`."""
    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,), in 0..K-1."""
    logits: NDArray[np.float64]
    """(n, N, K), finite."""
    split: str
    """`train`, `holdout` or `val`."""
    crops: int = 1
    """Crops an image."""

    def __post_init__(self) -> None:
        assert self.logits.ndim == 3
        assert self.logits.shape[:2] == (len(self.branches), self.labels.size)
        assert self.ids.shape == self.labels.shape
        assert np.isfinite(self.logits).all()


def load_branches(paths: Iterable[Path]) -> BranchLogits:
    """Read the logits files of one or more branches, in the order given; no model and no store is needed.

    Raises:
        UsageError: there is no file, or no sample in them.
        CorruptionError: a file is missing or damaged, or holds a non-finite logit or a label outside the classes.
        IncompatibleError: two files have another split, store, class list, sample, label or number of classes, or are
            the same branch; the message names the branch and the difference.
    """
    files = [(path, read_logits(path)) for path in paths]
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
        raise IncompatibleError(f"two of the files hold {_named(twice)}; name every branch once")
    classes = first.logits.shape[1]
    if first.labels.size == 0:
        raise UsageError(f"{first_path} holds no samples; a fusion needs some")
    if first.labels.min() < 0 or first.labels.max() >= classes:
        raise CorruptionError(f"{first_path}: a label lies outside 0 to {classes - 1}")
    return BranchLogits(
        branches=tuple(numbers),
        ids=first.ids.astype(np.int64),
        labels=first.labels.astype(np.int64),
        logits=np.stack([content.logits.astype(np.float64) for _, content in files]),
        split=first.meta["split"],
        crops=int(first.meta["crops"]),
    )


def _named(branches: Iterable[int]) -> str:
    numbers = [str(branch) for branch in branches]
    return f"branch{'es' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else "no branch"


def _branch(path: Path, content: LogitsFile) -> int:
    missing = [key for key in ("branch", *SHARED_KEYS) if not isinstance(content.meta.get(key), str)]
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
