"""The logits file of one branch on one split: all logits, rounded to half precision, or the largest of every sample."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandwise.config import KeepLogits
from bandwise.errors import BandwiseError, CorruptionError
from bandwise.files.arrays import all_finite, drop_pages, open_arrays, read_arrays_meta, writing_arrays

TOP = 64
"""Logits of a sample that `top-64` keeps."""

_KEEP_KEY, _WIDTH_KEY = "keep", "width"


@dataclass(frozen=True, slots=True)
class TopLogits:
    """The largest logits of every sample; of the others is known how much probability they have together.

    Sliced along the samples, or as a whole, it is an array (N, K) float32 in which the others are equal, so that a
    softmax gives the kept classes the probabilities that they had.
    """

    values: NDArray[np.float32]
    """(N, k), falling."""
    places: NDArray[np.int32]
    """(N, k), their classes."""
    rest: NDArray[np.float32]
    """(N,), the logit that stands for each of the others."""
    classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and classes."""
        return len(self.rest), self.classes

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        dense = np.repeat(self.rest[rows, None], self.classes, axis=1)
        np.put_along_axis(dense, self.places[rows].astype(np.int64), self.values[rows], axis=1)
        return dense

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class LogitsFile:
    """The predictions of one branch on one split, in the order of the sample ids."""

    ids: np.ndarray
    """(N,) int64, increasing."""
    labels: np.ndarray
    """(N,) int64."""
    logits: np.ndarray | TopLogits
    """(N, K) float32 or float16; read from a file they are mapped memory."""
    meta: dict[str, str]
    """What they belong to: branch, split, crops, store digest, class list hash."""

    @property
    def keep(self) -> str:
        """What of the logits was kept."""
        return self.meta.get(_KEEP_KEY, "full")

    def read(self, rows: slice, out: NDArray[np.float64]) -> None:
        """Write some rows to `out`, and give back the memory that reading them took."""
        out[...] = self.logits[rows]
        if isinstance(self.logits, np.ndarray):
            drop_pages(self.logits)


class LogitsWriter:
    """A logits file that is being written."""

    def __init__(self, arrays: Any, keep: KeepLogits, path: Path) -> None:
        """Write with `arrays`, a writer of arrays."""
        self._arrays, self._path = arrays, path
        self._keep: KeepLogits = keep

    def put(self, row: int, ids: NDArray[Any], labels: NDArray[Any], logits: NDArray[np.float32]) -> None:
        """Write samples from `row` on; their ids and labels, (B,), and logits (B, K)."""
        found = {"ids": ids, "labels": labels, **_kept(logits, self._keep, self._path)}
        for name, values in found.items():
            self._arrays.put(name, row, values)


@contextmanager
def writing_logits(
    path: Path, samples: int, classes: int, meta: Mapping[str, str], keep: KeepLogits = "full"
) -> Iterator[LogitsWriter]:
    """Yield what writes the logits of so many samples and classes; the file is there when the block ends well."""
    meta, kinds = dict(meta), {"ids": (np.int64, (samples,)), "labels": (np.int64, (samples,))}
    if keep != "full":
        meta |= {_KEEP_KEY: keep, _WIDTH_KEY: str(classes)}
    if keep == "top-64":
        most = min(TOP, classes)
        kinds |= {"values": (np.float32, (samples, most)), "places": (np.int32, (samples, most))}
        kinds |= {"rest": (np.float32, (samples,))}
    else:
        kinds |= {"logits": (np.float16 if keep == "float16" else np.float32, (samples, classes))}
    with writing_arrays(path, kinds, meta) as arrays:
        yield LogitsWriter(arrays, keep, path)


def read_logits(path: Path) -> LogitsFile:
    """Map the logits of one branch.

    A file that is missing, damaged, repeats an id, or holds a non-finite logit is a `CorruptionError`.
    """
    if not path.exists():
        raise CorruptionError(f"{path} is missing; run `bandwise evaluate` to write it")
    top = read_arrays_meta(path).get(_KEEP_KEY) == "top-64"
    arrays, meta = open_arrays(path, ("ids", "labels", *(("values", "places", "rest") if top else ("logits",))))
    ids, labels = np.array(arrays["ids"]), np.array(arrays["labels"])
    logits = _top_logits(path, arrays, meta) if top else arrays["logits"]
    if len(logits.shape) != 2 or ids.shape != labels.shape or ids.shape != logits.shape[:1]:
        raise CorruptionError(f"{path}: shapes {ids.shape}, {labels.shape}, {logits.shape} do not belong together")
    kept = (logits.values, logits.rest[:, None]) if isinstance(logits, TopLogits) else (logits,)
    if not all(map(all_finite, kept)):
        raise CorruptionError(f"{path} holds logits that are not finite")
    if (np.diff(ids) <= 0).any():
        raise CorruptionError(f"{path}: the sample ids do not increase")
    return LogitsFile(ids=ids, labels=labels, logits=logits, meta=meta)


def _top_logits(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> TopLogits:
    values, places, rest, width = arrays["values"], arrays["places"], arrays["rest"], meta.get(_WIDTH_KEY, "")
    classes = int(width) if width.isdecimal() and len(width) < 10 else 0
    fits = values.ndim == 2 and values.shape == places.shape and rest.shape == values.shape[:1]
    if not fits or values.shape[1] != min(TOP, classes) or (places < 0).any() or (places >= classes).any():
        raise CorruptionError(f"{path}: values {values.shape} are not the largest {TOP} of {width} classes")
    return TopLogits(values, places, rest, classes)


def _kept(logits: NDArray[np.float32], keep: KeepLogits, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays that hold some rows of logits (B, K)."""
    if keep == "full":
        return {"logits": logits}
    if keep == "float16":
        largest = float(np.abs(logits).max(initial=0))
        if largest > float(np.finfo(np.float16).max):
            raise BandwiseError(f"{path}: a logit of {largest:g} does not fit float16; use --keep-logits full")
        return {"logits": logits.astype(np.float16)}
    most = min(TOP, logits.shape[1])
    places = np.argpartition(-logits, most - 1, axis=1)[:, :most]
    # In the order of the classes first, so that equal logits have one order.
    places.sort(axis=1)
    order = np.argsort(-np.take_along_axis(logits, places, axis=1), axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)
    values = np.take_along_axis(logits, places, axis=1)
    rest = values[:, -1].copy()
    if most < logits.shape[1]:
        others = logits.astype(np.float64)
        np.put_along_axis(others, places, -np.inf, axis=1)
        top = others.max(axis=1)
        mean = top + np.log(np.exp(others - top[:, None]).sum(axis=1) / (logits.shape[1] - most))
        rest = np.minimum(rest, mean.astype(np.float32))
    return {"values": values, "places": places.astype(np.int32), "rest": rest}
